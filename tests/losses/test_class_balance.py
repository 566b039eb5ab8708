import torch

from hf_hyperbolic.losses import inverse_prevalence


def test_a_class_weighs_the_same_however_many_boxes_it_has():
    # a scene of two classes; three boxes of the first, one of the second
    categories = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.bool)
    scenes = torch.tensor([True, False, False, False, False])
    found = inverse_prevalence(categories, scenes)
    torch.testing.assert_close(found, torch.tensor([1, 2 / 3, 2 / 3, 2 / 3, 2]))


def test_boxes_without_a_class_and_batches_without_boxes_weigh_one():
    categories = torch.tensor([[1, 0], [1, 0], [0, 0]], dtype=torch.bool)
    assert inverse_prevalence(categories, torch.tensor([True, False, False])).tolist() == [1, 1, 1]
    assert inverse_prevalence(categories[:1], torch.tensor([True])).tolist() == [1]
