"""Reading the `.pth` files in which research code publishes its weights."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def load_published(path: str | Path) -> Mapping[str, Any]:
    """Reads a checkpoint written by `torch.save`, by the restricted unpickler: tensors and plain containers alone.

    Nothing that a file names is imported or run; a checkpoint that holds other objects is refused.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, it is cut short, or it holds more than tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: give the downloaded checkpoint")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is no pickle makes an unpickler fail in every possible way
        if isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower():
            raise ValueError(
                f"{path} holds more than tensors and plain containers, and loading those would run code from the file: "
                "save its state_dict alone, where you trust it"
            ) from error
        raise ValueError(f"{path} cannot be read as a PyTorch checkpoint: is the download complete?") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds a {type(found).__name__}, not a checkpoint with named weights")
    return found
