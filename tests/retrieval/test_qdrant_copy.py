import numpy as np
import pytest
from colour_encoder import ColourEncoder

from hf_hyperbolic.retrieval import Index, QdrantIndex, build_index, copy_to_qdrant, qdrant_copy

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


class Cut(RuntimeError):
    pass


def test_a_copy_that_was_cut_off_is_completed(index, tmp_path, monkeypatch):
    folder = tmp_path / "collection"
    monkeypatch.setattr(qdrant_copy, "_AT_ONCE", 7)
    read = index.items

    def cut(rows):
        if rows[0] == 14:
            raise Cut
        return read(rows)

    monkeypatch.setattr(index, "items", cut)
    with pytest.raises(Cut):
        copy_to_qdrant(index, path=folder)
    with QdrantIndex.open(folder) as there:
        assert len(there) == 14
    monkeypatch.undo()
    with copy_to_qdrant(index, path=folder) as copy:
        assert len(copy) == len(index)
        assert copy.payload([2])[0]["id"] == index.items([2])[0]["id"]
    # what was appended since is added by the same call
    with Index.append(index.folder, index.encoder) as writer:
        writer.add(ids=["new"], embeddings=index.embeddings([0]))
    with copy_to_qdrant(Index.open(index.folder, index.encoder), path=folder) as copy:
        assert len(copy) == len(index) + 1


@pytest.mark.parametrize("place", [0, 1])
def test_what_competes_can_be_asked_there(index, tmp_path, place):
    items = index.items(range(len(index)))
    query = np.random.default_rng(0).normal(size=(1, index.dim)).astype(np.float32)
    with copy_to_qdrant(index, **places(tmp_path)[place]) as copy:
        for direction, flag in (("children", "can_be_child"), ("parents", "can_be_parent")):
            found = copy.search(query, len(index), "beta", direction, where={flag: 1})
            assert sorted(found.ids[0]) == [row for row, item in enumerate(items) if item[flag]]
            rest = copy.search(query, len(index), "beta", direction, where={flag: 0})
            assert sorted(rest.ids[0]) == [row for row, item in enumerate(items) if not item[flag]]


def other_index(folder, like, fingerprint="e" * 64, curvature=0.5):
    with Index.create(folder, ColourEncoder(curvature, fingerprint)) as writer:
        writer.add(ids=["mine", "precious"], embeddings=like.embeddings([3, 4]))
    return Index.open(folder)


@pytest.fixture
def imitation(monkeypatch):
    """One server in memory for all that ask for ":memory:", which `close` leaves alone."""
    qdrant_client = pytest.importorskip("qdrant_client")
    server = qdrant_client.QdrantClient(":memory:")
    monkeypatch.setattr(server, "close", lambda: None)
    monkeypatch.setattr("hf_hyperbolic.retrieval.qdrant_collection._client", lambda url, options: server)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_copy_of_the_index_is_left_alone(index, tmp_path, imitation, place):
    there = places(tmp_path)[place]
    other = other_index(tmp_path / "other", index)
    copy_to_qdrant(other, **there).close()
    with pytest.raises(ValueError, match=r"of 2 points, is a copy of another index \(id \w{12}, not \w{12}\)"):
        copy_to_qdrant(index, **there)
    with copy_to_qdrant(other, **there) as kept:
        assert [point["id"] for point in kept.payload([0, 1])] == ["mine", "precious"]


@pytest.mark.parametrize("place", [0, 1])
def test_a_collection_of_unknown_origin_is_refused_unless_it_is_empty(index, tmp_path, imitation, place):
    there = places(tmp_path)[place]
    with QdrantIndex.create(index.dim, index.curvature, **there):
        pass
    copy_to_qdrant(index, **there).close()
    with QdrantIndex.open(**there) as copy:
        assert copy.origin == {"index": index.manifest.index_id, "model": "f" * 64}
        assert copy.fields["can_be_child"] == "integer"
        assert len(copy.search(index.embeddings([0]), len(index), where={"can_be_child": 1}).ids[0]) == 48
    mine = {**there, **({"path": tmp_path / "mine"} if place == 0 else {"collection": "mine"})}
    with QdrantIndex.create(index.dim, index.curvature, **mine) as collection:
        collection.add(index.embeddings([5]), payload={"class": ["precious"]})
    with pytest.raises(ValueError, match="of 1 points, was not copied from an index"):
        copy_to_qdrant(index, **mine)
    with QdrantIndex.open(**mine) as collection:
        assert collection.payload([0]) == [{"class": "precious"}]


def test_an_index_without_curvature_into_a_collection_with_one(index, tmp_path):
    flat = other_index(tmp_path / "flat", index, curvature=None)
    with QdrantIndex.create(index.dim, 2.5, path=tmp_path / "curved"):
        pass
    with pytest.raises(ValueError, match=r"of curvature 2\.5, not None"):
        copy_to_qdrant(flat, path=tmp_path / "curved")
    with copy_to_qdrant(flat, path=tmp_path / "new") as copy:
        assert copy.curvature is None
    with copy_to_qdrant(flat, path=tmp_path / "new") as again:
        assert len(again) == 2
    with QdrantIndex.open(tmp_path / "curved") as unasked:
        assert unasked.curvature == 2.5


def test_a_collection_of_another_space_or_with_more_in_it_is_refused(index, tmp_path):
    with QdrantIndex.create(index.dim, index.curvature * 2, path=tmp_path / "other"):
        pass
    with pytest.raises(ValueError, match="another model"):
        copy_to_qdrant(index, path=tmp_path / "other")
    many = len(index) + 1
    with copy_to_qdrant(index, path=tmp_path / "more") as more:
        more.add(np.zeros((many, index.dim), dtype=np.float32), ids=np.arange(many))
    with pytest.raises(ValueError, match=f"has {many} points"):
        copy_to_qdrant(index, path=tmp_path / "more")
    with pytest.raises(ValueError, match="either path"):
        copy_to_qdrant(index)
