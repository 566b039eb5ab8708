"""Damaged, foreign and locked indexes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from colour_encoder import ColourEncoder

from hf_hyperbolic.retrieval.index import Index
from hf_hyperbolic.retrieval.index_lock import IndexLockedError, WriterLock
from hf_hyperbolic.retrieval.index_manifest import IndexFileError, ModelMismatchError

ROWS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def make(path, encoder=None, rows=ROWS, name="i"):
    with Index.create(path, encoder or ColourEncoder(), shard_rows=4) as writer:
        writer.add(ids=[f"{name}{n}" for n in range(len(rows))], embeddings=rows)
    return path


@pytest.fixture
def index(tmp_path):
    return make(tmp_path / "index")


def used(path):
    opened = Index.open(path)
    opened.search(ROWS[:1], k=3)
    opened.items(range(len(opened)))


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00001.arrow"])
@pytest.mark.parametrize("cut", [0, 1, 7, 100])
def test_a_truncated_file_is_named_when_the_index_is_opened(index, name, cut):
    content = (index / name).read_bytes()
    (index / name).write_bytes(content[: len(content) - cut] if cut else b"")
    with pytest.raises(IndexFileError, match=rf"{name} is cut short: [\d,]+ bytes of {len(content):,}"):
        Index.open(index)


@pytest.mark.parametrize("name", ["shard-00002.safetensors", "shard-00000.arrow"])
def test_a_missing_or_longer_file_is_named(index, name):
    content = (index / name).read_bytes()
    (index / name).unlink()
    with pytest.raises(IndexFileError, match=f"{name} is missing"):
        Index.open(index)
    (index / name).write_bytes(content + b"x")
    with pytest.raises(IndexFileError, match=f"{name} is longer than it was written"):
        Index.open(index)


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00001.arrow"])
def test_what_is_no_shard_is_named_when_it_is_first_used(index, name):
    size = (index / name).stat().st_size
    (index / name).write_bytes(bytes(range(256)) * (size // 256) + b"\0" * (size % 256))
    with pytest.raises(IndexFileError, match=f"{name} is damaged"):
        used(index)


@pytest.mark.parametrize("ending", ["safetensors", "arrow"])
def test_a_shard_of_another_index_or_place_is_named(index, tmp_path, ending):
    used(index)
    other = make(tmp_path / "other")
    shutil.copy(other / f"shard-00001.{ending}", index / f"shard-00001.{ending}")
    with pytest.raises(IndexFileError, match=f"shard-00001.{ending} is of another index or another shard"):
        used(index)
    used(other)
    shutil.copy(other / f"shard-00000.{ending}", other / f"shard-00001.{ending}")
    with pytest.raises(IndexFileError, match=f"shard-00001.{ending} is of another index or another shard"):
        used(other)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:-20], "is damaged, not JSON"),
        (lambda text: "[]", "is of something else"),
        (lambda text: '{"a": 1}', "is of something else"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "is of version 2, this is for version 1"),
        (lambda text: text.replace('"rows": 10', '"rows": 11'), "is damaged: its shards do not add up"),
        (lambda text: text.replace('"index_id"', '"index_it"'), "is damaged: expected index_id"),
        (lambda text: text.replace('"dim"', '"dims"'), "is damaged: expected index_id"),
    ],
)
def test_a_manifest_that_is_damaged_or_of_something_else(index, edit, message):
    file = index / "manifest.json"
    before = file.read_text()
    file.write_text(edit(before))
    assert file.read_text() != before
    with pytest.raises(IndexFileError, match=rf"manifest\.json {message}"):
        Index.open(index)


def test_no_index(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no index"):
        Index.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no index"):
        Index.open(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="is a file: an index is a folder"):
        Index.open(tmp_path / "file")


def test_another_model_or_curvature_is_refused(index):
    Index.open(index, ColourEncoder())
    with pytest.raises(ModelMismatchError, match=r"fingerprint ffffffffffff.*fingerprint 000000000000.*its weights"):
        Index.open(index, ColourEncoder(fingerprint="0" * 64))
    with pytest.raises(ModelMismatchError, match=r"curvature -0\.5 there, -0\.7 here"):
        Index.open(index, ColourEncoder(curvature=0.7))
    with pytest.raises(ModelMismatchError, match="Use the model that made it"):
        Index.append(index, ColourEncoder(curvature=None))
    with Index.append(index, ColourEncoder()) as writer:
        writer.add(ids=["free again"], embeddings=ROWS[:1])


def test_create_keeps_what_is_there(index, tmp_path):
    with pytest.raises(FileExistsError, match="holds an index already"):
        Index.create(index, ColourEncoder())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"holds other things \(thesis\.tex\)"):
        Index.create(tmp_path / "mine", ColourEncoder())
    with pytest.raises(FileExistsError, match="is a file"):
        Index.create(tmp_path / "mine" / "thesis.tex", ColourEncoder())


def test_one_writer_at_a_time_and_readers_meanwhile(index):
    with Index.append(index, ColourEncoder()) as writer:
        writer.add(ids=["a", "b", "c"], embeddings=ROWS[:3])
        with pytest.raises(IndexLockedError, match=r"is being written to \(process \d+ on \S+, since 20"):
            Index.append(index, ColourEncoder())
        assert len(Index.open(index)) == 10
    assert len(Index.open(index)) == 13
    with Index.append(index, ColourEncoder()) as writer:
        assert writer.rows == 13


HOLDER = """
import sys
sys.argv[0] = "hf-hyperbolic"  # so that transformers is not imported
from pathlib import Path
from hf_hyperbolic.retrieval.index_lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_writer_of_another_process_is_named_and_its_lock_ends_with_it(index, caplog):
    with subprocess.Popen([sys.executable, "-c", HOLDER, index], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        with pytest.raises(IndexLockedError, match=rf"process {other.pid} on"):
            Index.append(index, ColourEncoder())
        assert not caplog.text
        other.kill()
        other.wait()
        with Index.append(index, ColourEncoder()) as writer:
            assert f"its last writer (process {other.pid} on" in caplog.text
            writer.add(ids=["x"], embeddings=ROWS[:1])
    caplog.clear()
    Index.append(index, ColourEncoder()).close()
    assert not caplog.text


def test_a_failed_block_drops_what_was_not_written_and_frees_the_lock(index):
    def fails():
        with Index.append(index, ColourEncoder(), shard_rows=4) as writer:
            writer.add(ids=list("abcdef"), embeddings=ROWS[:6])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert len(Index.open(index)) == 14
    with WriterLock(Path(index)):
        pass


def test_the_manifest_tells_sizes_and_model(index):
    content = json.loads((index / "manifest.json").read_text())
    assert (content["rows"], content["model"]["curvature"], content["model"]["dim"]) == (10, 0.5, 4)
    modes = {path.suffix: path.stat().st_mode for path in index.glob("shard-*")}
    assert modes[".safetensors"] == modes[".arrow"]
    for shard in content["shards"]:
        assert (index / f"{shard['name']}.arrow").stat().st_size == shard["items_bytes"]
