import numpy as np
import pytest

from hf_hyperbolic.evaluation import child_to_parent as protocol
from hf_hyperbolic.evaluation import nodes

KS = (1, 3, 5, 100)


def naive(hierarchy, matrix: np.ndarray, gallery: str, k: int, other_images: bool) -> tuple[list, list, list]:
    """Share, chance and best possible of every box, by the protocol's words."""
    descendants: dict[int, set[int]] = {}
    for a, d in hierarchy.ancestry:
        descendants.setdefault(int(a), set()).add(int(hierarchy.node_label[d]))
    nodes = range(hierarchy.num_images) if gallery == "scenes" else sorted(descendants)
    shares, chances, bests = [], [], []
    for box in range(hierarchy.num_images, hierarchy.num_nodes):
        if hierarchy.node_is_scene_duplicate[box]:
            continue
        left = [n for n in nodes if n != box]
        if other_images:
            left = [n for n in left if hierarchy.node_image[n] != hierarchy.node_image[box]]
        ranked = sorted(left, key=lambda n: (-matrix[box, n], n))
        counts = [hierarchy.node_label[box] in descendants.get(n, set()) for n in ranked]
        used = min(k, len(ranked))
        shares.append(sum(counts[:used]) / used)
        chances.append(sum(counts) / len(counts))
        bests.append(min(used, sum(counts)) / used)
    return shares, chances, bests


@pytest.mark.parametrize("gallery", ["scenes", "parents"])
@pytest.mark.parametrize("seed", range(3))
def test_figures_chance_and_ceiling_equal_a_naive_loop(
    make_hierarchy, make_scorer, gallery: str, seed: int, monkeypatch
) -> None:
    hierarchy = make_hierarchy(seed, images=7, boxes=6, classes=5, empty=1, whole=1)
    matrix = np.random.default_rng(seed).integers(0, 5, (hierarchy.num_nodes,) * 2).astype(float)
    task = protocol.prepare(hierarchy, gallery)
    if gallery == "parents":
        assert set(task.gallery) & set(task.queries)  # premise: some box is in its own gallery
    found = protocol.per_query(task, make_scorer(matrix), KS)
    chance, ceiling = protocol.chance_and_ceiling(task, KS)
    for k in KS:
        for suffix in ("", "_other_images"):
            shares, chances, bests = naive(hierarchy, matrix, gallery, k, bool(suffix))
            np.testing.assert_allclose(found[f"top_{k}{suffix}"], shares, atol=1e-12)
            assert chance[f"top_{k}{suffix}"] == pytest.approx(np.mean(chances), abs=1e-12)
            assert ceiling[f"top_{k}{suffix}"] == pytest.approx(np.mean(bests), abs=1e-12)
    monkeypatch.setattr(nodes, "TILE_CELLS", 1)
    tiled = protocol.per_query(task, make_scorer(matrix), KS)
    for name in found:
        np.testing.assert_array_equal(tiled[name], found[name])


def test_chance_is_what_random_scores_reach(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(4)
    task = protocol.prepare(hierarchy)
    chance, _ = protocol.chance_and_ceiling(task, (3,))
    rng = np.random.default_rng(0)
    runs = [
        {name: v.mean() for name, v in protocol.per_query(task, make_scorer(rng.random((100, 100))), (3,)).items()}
        for _ in range(300)
    ]
    assert hierarchy.num_nodes <= 100
    for name, expected in chance.items():
        means = [run[name] for run in runs]
        assert abs(np.mean(means) - expected) < 4.5 * np.std(means) / np.sqrt(300), name


def test_ceiling_is_reached_by_relevance_as_score(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(5, images=12, boxes=3, classes=8)
    for gallery in ("scenes", "parents"):
        task = protocol.prepare(hierarchy, gallery)
        matrix = np.zeros((hierarchy.num_nodes,) * 2)
        matrix[np.ix_(task.queries, task.gallery)] = task.gallery_labels.T[task.query_labels]
        _, ceiling = protocol.chance_and_ceiling(task, (5, 10))
        assert ceiling["top_10"] < 1  # premise: not every query has ten parents that count
        for name, values in protocol.per_query(task, make_scorer(matrix), (5, 10)).items():
            assert values.mean() == pytest.approx(ceiling[name], abs=1e-12)


def test_own_image_counts_only_when_it_is_in(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(0)
    task = protocol.prepare(hierarchy)
    own = (hierarchy.node_image[:, None] == hierarchy.node_image).astype(float)
    values = protocol.per_query(task, make_scorer(own), (1,))
    assert (values["top_1"] == 1).all()
    assert values["top_1_other_images"].mean() < 1


def test_a_single_image_has_no_other_images(make_hierarchy, make_scorer) -> None:
    hierarchy = make_hierarchy(0, images=1)
    task = protocol.prepare(hierarchy)
    values = protocol.per_query(task, make_scorer(np.zeros((hierarchy.num_nodes,) * 2)), (5,))
    assert (values["top_5"] == 1).all()
    assert np.isnan(values["top_5_other_images"]).all()
    chance, ceiling = protocol.chance_and_ceiling(task, (5,))
    assert chance["top_5"] == ceiling["top_5"] == 1
    assert np.isnan([chance["top_5_other_images"], ceiling["top_5_other_images"]]).all()


def test_bad_input_is_refused(make_hierarchy) -> None:
    with pytest.raises(ValueError, match="gallery must be"):
        protocol.prepare(make_hierarchy(), "boxes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no query: none of 2 scenes"):
        protocol.prepare(make_hierarchy(images=2, boxes=1, whole=2))
