"""An index is looked for here first, then on the Hub, and what is missing is said in one message."""

import pytest
from huggingface_hub import errors

from hf_hyperbolic.retrieval import Index, index_hub
from hf_hyperbolic.retrieval.index_hub import index_folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Records what is asked of the Hub; `refuse` is what it answers, else a snapshot with a manifest."""
    snapshot = tmp_path / "cache" / "abc"
    snapshot.mkdir(parents=True)
    asked = {"refuse": None}

    def download(name, file, **more):
        asked["manifest"] = (name, file, more)
        if asked["refuse"]:
            raise asked["refuse"]
        return str(snapshot / file)

    def fetch(name, **more):
        asked["rest"] = (name, more)
        return str(snapshot)

    monkeypatch.setattr(index_hub, "hf_hub_download", download)
    monkeypatch.setattr(index_hub, "snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    return asked


def test_the_rest_is_of_the_commit_of_the_manifest(hub, tmp_path):
    assert index_folder("me/index", "v1") == tmp_path / "cache" / "abc"
    assert hub["manifest"] == ("me/index", "manifest.json", {"repo_type": "dataset", "revision": "v1"})
    name, more = hub["rest"]
    assert name == "me/index"
    assert more == {"repo_type": "dataset", "revision": "abc", "allow_patterns": ["manifest.json", "shard-*"]}


@pytest.mark.parametrize("name", ["here", "./me/index", "/me/index", "~/index", "a/b/c", "me/in dex", "outputs/indx"])
def test_what_is_no_name_on_the_hub_is_not_asked_for(name, hub, tmp_path):
    (tmp_path / "outputs" / "index").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"holds no index \(manifest.json\)"):
        Index.open(name)
    with pytest.raises(ValueError, match="is a folder here"):
        Index.open(name, revision="v1")
    assert "manifest" not in hub


def test_a_folder_here_goes_first(hub, tmp_path):
    (tmp_path / "me" / "index").mkdir(parents=True)
    assert index_folder("me/index") == tmp_path / "me" / "index"
    assert "manifest" not in hub


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (errors.LocalEntryNotFoundError("offline"), "neither in the cache nor can it be fetched now"),
        (errors.EntryNotFoundError("404"), r"the data set me/index on the Hub holds no index \(manifest.json\)"),
        (OSError("401 Client Error\nmore"), "cannot be had: 401 Client Error$"),
    ],
)
def test_what_is_not_there_is_one_line(answer, said, hub):
    hub["refuse"] = answer
    with pytest.raises(FileNotFoundError, match=said) as error:
        Index.open("me/index")
    assert "\n" not in str(error.value)
    assert "rest" not in hub
