"""What annotations state of an image file against the file itself: is it there, and of that size."""

import os
from typing import Any

from hf_hyperbolic.data.images import probe, size_mismatch


class FolderListing:
    """Which files exist, by listing each folder once: far quicker than asking for every file, above all remotely."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def __contains__(self, file: str) -> bool:
        folder, name = os.path.split(file)
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except (OSError, ValueError):  # no folder, or a name no folder can have
                self._names[folder] = frozenset()
        return name in self._names[folder]


def path_within(name: str, folder: str, *others: str) -> str | None:
    """The path that a name in an annotation file stands for, if it does not lead out of its folder.

    `..` is resolved in the text, without a look at the disk: links in the folder are its owner's own and are followed.

    Args:
        name: relative to `folder`, or absolute.
        folder: an absolute path.
        others: further absolute folders in which absolute names may lie.

    Returns:
        The path; None for `../private.jpg`, or an absolute path in none of the folders.
    """
    path = os.path.normpath(name)
    if os.path.isabs(path):
        places = (os.path.join(os.path.normpath(place), "") for place in (folder, *others))
        return path if any(path.startswith(place) for place in places) else None
    return None if path.split(os.sep, 1)[0] == os.pardir else os.path.join(folder, path)


def whole_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height as stated, or None where they are no whole numbers of pixels."""
    if all(type(side) in (int, float) and 1 <= side < 1e6 and side == int(side) for side in (width, height)):
        return int(width), int(height)
    return None


def image_size(file: str, stated: tuple[int, int] | None, check: bool, source: str) -> tuple[int, int]:
    """Width and height of an image as shown: as stated, or from its header where they are not or to check them.

    Args:
        file: the image file.
        stated: what its annotations say.
        check: open the file even if its size is stated.
        source: name of the annotation file, for the message.

    Raises:
        BrokenImageError: the file is broken, or of another size than stated.
    """
    if stated is not None and not check:
        return stated
    shown = probe(file)
    if stated is not None and shown != stated:
        raise size_mismatch(file, shown, stated, source)
    return shown
