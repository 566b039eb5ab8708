"""What a name of a checkpoint can be: a folder here, or a model on the Hub. Looked at here before anybody is asked."""

import os
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

_EXAMPLE = "such as outputs/demo/best"


def check_checkpoint_name(name: str | os.PathLike[str], alternative: str = "", **hub: str | None) -> None:
    """Refuses at once what can be neither, since the Hub would be asked for half a minute where there is no network.

    Args:
        name: as the user gave it.
        alternative: what else may be given there, for the message.
        **hub: `cache_dir` and `revision`, where given.

    Raises:
        FileNotFoundError: a path that is not there, a folder without a model, or a name that is none on the Hub.
    """
    given = os.fspath(name)
    give = f"give a checkpoint folder, {_EXAMPLE}, or a model of the Hub by its name USER/NAME"
    give += f", or {alternative}" if alternative else ""
    if os.path.isdir(given):
        if not (Path(given) / "config.json").exists():
            raise FileNotFoundError(f"{given} holds no model (config.json): {give}")
    elif os.path.isabs(given) or given.startswith((".", "~")) or given.count("/") > 1:
        raise FileNotFoundError(f"{given}: no such folder; {give}")
    elif "/" not in given and not _is_cached(given, hub):
        # names without an owner are left from the Hub's first years, and are of text models
        raise FileNotFoundError(f"{given}: no such folder, and on the Hub no model of images has such a name; {give}")


def not_on_the_hub(name: str, error: OSError) -> FileNotFoundError:
    """One line for a name that is no folder and cannot be loaded from the Hub; what is said there need not name it."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileNotFoundError(f"{name}: no such folder here, and as a model of the Hub it cannot be loaded: {said}")


def _is_cached(name: str, hub: dict[str, str | None]) -> bool:
    try:
        found = try_to_load_from_cache(name, "config.json", hub.get("cache_dir"), hub.get("revision"))
    except ValueError:  # no name of a repository
        return False
    return isinstance(found, str)
