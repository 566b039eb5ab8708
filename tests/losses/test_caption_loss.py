import math

import pytest
import torch

from hf_hyperbolic import euclidean, lorentz
from hf_hyperbolic.losses import caption_loss

POSITIVES = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]).bool()


def points(count, seed):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("geometry", "weight"), [("lorentz", 2.0), ("lorentz", 0.0), ("euclidean", 1.0)])
def test_against_a_loop_over_pairs(geometry, weight):
    captions, images = points(3, 0), points(4, 1)
    space = lorentz if geometry == "lorentz" else euclidean

    def angle(caption, image):
        return (math.pi - space.exterior_angle(captions[caption], images[image], 0.7)) / 0.2

    def cosine(caption, image):
        return torch.nn.functional.cosine_similarity(captions[caption], images[image], 0) / 0.1

    down = up = 0.0
    for score, share in ((angle, 1.0), (cosine, weight)):
        logits = torch.stack([torch.stack([score(row, column) for column in range(4)]) for row in range(3)])
        for row in range(3):
            own = [column for column in range(4) if POSITIVES[row, column]]
            down -= share * sum(logits[row, c] - torch.logsumexp(logits[row], 0) for c in own) / len(own) / 3
        for column in range(4):
            own = [row for row in range(3) if POSITIVES[row, column]]
            up -= share * sum(logits[r, column] - torch.logsumexp(logits[:, column], 0) for r in own) / len(own) / 4
    found = caption_loss(captions, images, POSITIVES, 0.7, 0.2, geometry, weight, 0.1)
    torch.testing.assert_close(found.parent_to_child, down, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.child_to_parent, up, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.loss, down + up, rtol=1e-4, atol=1e-4)


def test_a_caption_is_the_parent_of_its_image():
    # on one ray: the caption near the origin and its image beyond it; the other way round the loss is higher
    ray = torch.nn.functional.normalize(points(2, 2), dim=1).float()
    near, far = 0.3 * ray, 1.5 * ray
    own = torch.eye(2).bool()
    right = caption_loss(near, far, own, 1.0, 0.2, similarity_weight=0.0).loss
    wrong = caption_loss(far, near, own, 1.0, 0.2, similarity_weight=0.0).loss
    assert right < wrong


def test_positives_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"shape \(4, 3\), expected \(3, 4\): captions by images"):
        caption_loss(points(3, 0), points(4, 1), POSITIVES.T, 1.0, 0.2)
    with pytest.raises(ValueError, match="geometry must be"):
        caption_loss(points(3, 0), points(4, 1), POSITIVES, 1.0, 0.2, "spherical")
