"""The index through `qdrant-client`: against the client's imitation of a server, and the requests that go over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from hf_hyperbolic import lorentz
from hf_hyperbolic.retrieval import DIRECTIONS, MEASURES, scores
from hf_hyperbolic.retrieval import qdrant_collection as module
from hf_hyperbolic.retrieval.qdrant import QdrantIndex
from hf_hyperbolic.retrieval.qdrant_server import ServerEngine

client_module = pytest.importorskip("qdrant_client")
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

CURVATURE = 1.3
DIM = 10


def embeddings(seed, count):
    generator = torch.Generator().manual_seed(seed)
    return lorentz.exp_map0(torch.randn(count, DIM, generator=generator) / 2, CURVATURE).numpy()


GALLERY, QUERIES = embeddings(0, 120), embeddings(1, 3)
PAYLOAD = {"level": [row % 3 for row in range(120)], "class": ["bus", None, "car"] * 40}


@pytest.fixture
def imitation(monkeypatch):
    """One imitation of a server, to which every client connects."""
    client = client_module.QdrantClient(":memory:")
    monkeypatch.setattr(client, "close", lambda: None)
    monkeypatch.setattr(module, "_client", lambda url, options: client)
    return client


@pytest.fixture
def filled(imitation):
    index = QdrantIndex.create(DIM, CURVATURE, url=":memory:")
    index.add(GALLERY, payload=PAYLOAD)
    return index


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("measure", MEASURES)
def test_the_client_gives_exact_scores(filled, measure, direction):
    gallery, queries = torch.from_numpy(GALLERY), torch.from_numpy(QUERIES)
    expected = scores(queries.double(), gallery.double(), measure, direction, CURVATURE).topk(8).values
    for options in ({}, {"exact": True}):
        found = filled.search(QUERIES, 8, measure, direction, **options)
        np.testing.assert_allclose(found.scores, expected, rtol=0, atol=3e-6)


def test_both_engines_answer_alike(filled, tmp_path):
    pytest.importorskip("qdrant_edge")
    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as embedded:
        embedded.add(GALLERY, payload=PAYLOAD)
        for where in (None, {"level": [0, 1]}, {"class": "bus", "level": 0}):
            for measure in MEASURES:
                here, there = (index.search(QUERIES, 9, measure, "parents", where) for index in (embedded, filled))
                np.testing.assert_allclose(here.scores, there.scores, rtol=0, atol=2e-6)
                assert (here.ids == there.ids).mean() > 0.95  # equal scores may change places
        assert embedded.payload([1, 2]) == filled.payload([1, 2]) == [{"level": 1}, {"level": 2, "class": "car"}]
        assert len(embedded) == len(filled) == 120


def test_a_collection_of_the_server_is_opened_again(filled):
    again = QdrantIndex.open(url=":memory:", dim=DIM, curvature=CURVATURE)
    assert again.fields == module.FIELDS
    again.add(QUERIES)
    assert len(again) == 123
    with pytest.raises(ValueError, match=r"curvature 1\.3, not 2\.0"):
        QdrantIndex.open(url=":memory:", curvature=2.0)
    with pytest.raises(FileExistsError, match="'embeddings' already"):
        QdrantIndex.create(DIM, CURVATURE, url=":memory:")
    with pytest.raises(FileNotFoundError, match="no collection 'other'"):
        QdrantIndex.open(url=":memory:", collection="other")
    with pytest.raises(ValueError, match="use the server's own snapshots"):
        filled.snapshot("anywhere.tar")


def test_a_foreign_collection_is_refused(imitation):
    imitation.create_collection("photos", vectors_config=client_module.models.VectorParams(size=4, distance="Cosine"))
    with pytest.raises(ValueError, match="'photos' was not made by"):
        QdrantIndex.open(url=":memory:", collection="photos")


def test_an_embedded_collection_is_copied_to_a_server(imitation, tmp_path, monkeypatch):
    pytest.importorskip("qdrant_edge")
    monkeypatch.setattr("hf_hyperbolic.retrieval.qdrant_embedded._SCROLL", 50)
    upsert, calls = ServerEngine.upsert, []

    def cut_off(self, points):
        calls.append(len(points.ids))
        if len(calls) == 3:
            raise ConnectionError("gone")
        upsert(self, points)

    with QdrantIndex.create(DIM, CURVATURE, path=tmp_path / "index") as embedded:
        embedded.add(GALLERY, payload=PAYLOAD)
        monkeypatch.setattr(ServerEngine, "upsert", cut_off)
        with pytest.raises(ConnectionError):
            embedded.copy_to(":memory:", "copy")
        embedded.copy_to(":memory:", "copy")
        assert calls == [50, 50, 20, 50, 50, 20]
        copy = QdrantIndex.open(url=":memory:", collection="copy")
        assert len(copy) == 120
        np.testing.assert_allclose(copy.search(QUERIES, 7).scores, embedded.search(QUERIES, 7).scores, atol=2e-6)
        assert copy.payload(range(120)) == embedded.payload(range(120))
    other = QdrantIndex.create(DIM, 2.0, path=tmp_path / "other")
    with other, pytest.raises(ValueError, match="give another name"):
        other.copy_to(":memory:", "copy")


class Recorder(BaseHTTPRequestHandler):
    """Answers as a server of one empty collection would, and keeps what it was sent."""

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.received.append((self.command, self.path.split("?")[0], body))
        result: object = True
        if self.path.endswith("/exists"):
            result = {"exists": False}
        elif self.path.endswith("/points/count"):
            result = {"count": 0}
        elif "/points/query/batch" in self.path:
            result = [{"points": [{"id": 5, "version": 1, "score": 0.5}]} for _ in body["searches"]]
        elif "/points" in self.path or self.path.split("?")[0].endswith("/index"):
            result = {"operation_id": 1, "status": "completed"}
        sent = json.dumps({"result": result, "status": "ok", "time": 0.0})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(sent.encode())

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.received = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_goes_over_http_is_what_the_embedded_engine_is_asked(server, monkeypatch):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    asked = []
    query = ServerEngine.query
    monkeypatch.setattr(ServerEngine, "query", lambda self, bodies: (asked.extend(bodies), query(self, bodies))[1])
    with QdrantIndex.create(DIM, CURVATURE, url=url, collection="scenes", check_compatibility=False) as index:
        index.add(GALLERY[:2], payload={"level": [0, 1]})
        for measure in MEASURES:
            found = index.search(QUERIES, 4, measure, where={"level": 1, "class": ["car", "bus"]})
    assert found.ids.tolist() == [[5], [5], [5]]
    sent = {}
    for method, path, body in server.received:
        sent.setdefault((method, path), []).append(body)
    (created,) = sent["PUT", "/collections/scenes"]
    assert created["vectors"] == {"size": DIM + 1, "distance": "Dot"}
    assert created["metadata"]["hf_hyperbolic"]["curvature"] == CURVATURE
    indexes = {body["field_name"]: body["field_schema"] for body in sent["PUT", "/collections/scenes/index"]}
    assert indexes == {
        "klein_norm_squared": "float",
        "cosh_radius": "float",
        "class": "keyword",
        "level": "integer",
        "split": "keyword",
    }
    (added,) = sent["PUT", "/collections/scenes/points"]
    assert added["batch"]["ids"] == [0, 1]
    np.testing.assert_allclose(np.linalg.norm(added["batch"]["vectors"], axis=1), 1, atol=1e-6)
    searches = [
        search for body in sent["POST", "/collections/scenes/points/query/batch"] for search in body["searches"]
    ]
    assert len(searches) == 3 * len(MEASURES)
    assert without_defaults(searches) == asked


def without_defaults(value):
    """Drops what the client adds to a request: empty defaults of formulas and unset parameters."""
    if isinstance(value, dict):
        return {key: without_defaults(inner) for key, inner in value.items() if inner not in (None, {})}
    if isinstance(value, list):
        return [without_defaults(inner) for inner in value]
    return value
