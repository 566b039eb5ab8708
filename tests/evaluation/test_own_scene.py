import numpy as np
import pytest
import torch

from hf_hyperbolic.evaluation import own_scene


@pytest.mark.parametrize("seed", range(4))
def test_ranks_equal_a_naive_loop(make_hierarchy, make_scorer, seed: int) -> None:
    hierarchy = make_hierarchy(seed, whole=2, empty=1)
    matrix = np.random.default_rng(seed).integers(0, 4, (hierarchy.num_nodes,) * 2).astype(float)
    expected = []
    for box in range(hierarchy.num_images, hierarchy.num_nodes):
        if not hierarchy.node_is_scene_duplicate[box]:
            ranked = sorted(range(hierarchy.num_images), key=lambda n: (-matrix[box, n], n))
            expected.append(1 + ranked.index(hierarchy.node_image[box]))
    ranks = own_scene.own_scene_ranks(hierarchy, make_scorer(matrix))
    assert ranks.tolist() == expected
    values = own_scene.per_query(ranks)
    assert values["recall@5"].mean() == np.mean([rank <= 5 for rank in expected])
    assert own_scene.median_rank(ranks, hierarchy.num_images)["value"] == np.median(expected)


def test_chance_and_ceiling(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(1)
    chance, ceiling = own_scene.chance_and_ceiling(hierarchy.num_images)
    rng = np.random.default_rng(0)
    scorers = [make_scorer(rng.random((60, 60))) for _ in range(100)]
    ranks = np.concatenate([own_scene.own_scene_ranks(hierarchy, scorer) for scorer in scorers])
    for k in (1, 5):
        p = chance[f"recall@{k}"]
        assert abs((ranks <= k).mean() - p) < 4.5 * np.sqrt(p * (1 - p) / len(ranks))
    assert abs(np.median(ranks) - own_scene.median_rank(ranks, hierarchy.num_images)["chance"]) <= 0.5
    oracle = (hierarchy.node_image[:, None] == hierarchy.node_image).astype(float)
    best = own_scene.own_scene_ranks(hierarchy, make_scorer(oracle))
    assert (best == 1).all()
    assert ceiling == {"recall@1": 1.0, "recall@5": 1.0}
    assert own_scene.median_rank(best, hierarchy.num_images)["ceiling"] == 1


def test_k_beyond_the_gallery_is_certain() -> None:
    assert own_scene.chance_and_ceiling(3)[0] == {"recall@1": 1 / 3, "recall@5": 1.0}


def test_nan_scores_are_refused(make_hierarchy) -> None:
    with pytest.raises(ValueError, match="NaN"):
        own_scene.own_scene_ranks(make_hierarchy(), lambda q, g, d: torch.full((len(q), len(g)), torch.nan))
