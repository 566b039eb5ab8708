import pytest

from hf_hyperbolic.data.scenes import write_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A COCO file with 70 drawn scenes: more than one shard of a builder and one chunk of rows."""
    return write_scenes(tmp_path_factory.mktemp("scenes"), "train", 70, size=96)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Nothing is read from or left in the user's `datasets` cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
