"""An index on the Hub: found by its name, fetched once, and kept in the cache of `huggingface_hub`."""

import os
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from hf_hyperbolic.retrieval.index_manifest import MANIFEST

_FILES = (MANIFEST, "shard-*")


def index_folder(path: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of an index; one that is named by its repository of data sets on the Hub is fetched.

    What lies here goes first, and a name whose first part is a folder here is always of one here. Only the files of the
    index are fetched, and nothing at all of a repository that holds none.

    Args:
        path: folder, or name on the Hub.
        revision: branch, tag or commit on the Hub; None for main.

    Raises:
        FileNotFoundError: neither a folder here nor an index on the Hub, or the Hub cannot be reached and the cache
            does not have it.
        ValueError: a revision of a folder.
    """
    name = os.fspath(path)
    if not _is_hub_name(name):
        if revision is not None:
            raise ValueError(f"revision={revision!r} is of an index on the Hub, and {name} is a folder here")
        return Path(name).absolute()
    try:
        manifest = hf_hub_download(name, MANIFEST, repo_type="dataset", revision=revision)
        snapshot_download(name, repo_type="dataset", revision=Path(manifest).parent.name, allow_patterns=list(_FILES))
    except LocalEntryNotFoundError as error:  # an EntryNotFoundError too, so it goes first
        raise FileNotFoundError(
            f"{name}: no such folder here, and as an index on the Hub it is neither in the cache nor can it be fetched "
            "now: is there a network, and is HF_HUB_OFFLINE unset?"
        ) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"the data set {name} on the Hub holds no index ({MANIFEST}): publish one by `hf-hyperbolic index push`"
        ) from error
    except OSError as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(
            f"{name}: no such folder here, and as an index on the Hub it cannot be had: {said}"
        ) from error
    return Path(manifest).parent


def _is_hub_name(name: str) -> bool:
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or Path(name).exists():
        return False
    if Path(name).parent.is_dir():  # outputs/indx is a slip, and asking the Hub for it may take half a minute
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True
