import numpy as np
import pytest

from hf_hyperbolic.retrieval import Index, QdrantIndex, build_index, copy_to_qdrant

pytest.importorskip("qdrant_edge")


@pytest.fixture
def index(source, encoder, tmp_path):
    build_index(tmp_path / "index", encoder, source, "data", "val", progress=False)
    return Index.open(tmp_path / "index", encoder)


def places(tmp_path):
    return [{"path": tmp_path / "collection"}, {"url": ":memory:"}]


@pytest.mark.parametrize("place", [0, 1])
def test_answers_are_those_of_the_index(index, tmp_path, place):
    with copy_to_qdrant(index, **places(tmp_path)[place]) as copy:
        assert len(copy) == len(index)
        # not the items themselves: angles towards what nearly coincides are lost in the engine's float32
        queries = np.random.default_rng(0).normal(size=(5, index.dim)).astype(np.float32)
        for direction in ("children", "parents"):
            found = copy.search(queries, 6, "beta", direction, where={"class": ["door", "handle"], "level": [1, 2, 3]})
            expected = index.search(queries, 6, "beta", direction, where={"class": ["door", "handle"]})
            for row, results in enumerate(expected):
                assert found.scores[row] == pytest.approx([result.score for result in results], abs=1e-5)
                labels = [index.items([number])[0]["label"] for number in found.ids[row]]
                assert set(labels) <= {"door", "handle"}
        described = copy.payload([3])[0]
        item = index.items([3])[0]
        assert (described["id"], described["class"], described["level"]) == (item["id"], item["label"], item["level"])
        assert described["box"] == pytest.approx(item["box"])


def test_a_copy_that_was_cut_off_is_completed(index, tmp_path):
    folder = tmp_path / "collection"
    with QdrantIndex.create(index.dim, index.curvature, path=folder) as cut:
        cut.add(index.embeddings(np.arange(7)), ids=np.arange(7))
    with copy_to_qdrant(index, path=folder) as copy:
        assert len(copy) == len(index)
        assert copy.payload([2])[0]["id"] == index.items([2])[0]["id"]


def test_a_collection_of_another_space_or_with_more_in_it_is_refused(index, tmp_path):
    with QdrantIndex.create(index.dim, index.curvature * 2, path=tmp_path / "other"):
        pass
    with pytest.raises(ValueError, match="another model"):
        copy_to_qdrant(index, path=tmp_path / "other")
    many = len(index) + 1
    with QdrantIndex.create(index.dim, index.curvature, path=tmp_path / "more") as more:
        more.add(np.zeros((many, index.dim), dtype=np.float32))
    with pytest.raises(ValueError, match=f"has {many} points"):
        copy_to_qdrant(index, path=tmp_path / "more")
    with pytest.raises(ValueError, match="either path"):
        copy_to_qdrant(index)
