"""Where the images of a file in COCO's layout lie."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hf_hyperbolic.data.image_files import FolderListing, path_within

# images looked for to tell which folder a file refers to: some may be missing
_NAMES_TRIED = 20


def file_names(row: dict[str, Any]) -> list[str]:
    """Where an image may lie in its folder; LVIS v1 has no `file_name` but the address COCO serves the image at."""
    names = [row.get("file_name")]
    url = row.get("coco_url")
    if isinstance(url, str):
        parts = urlsplit(url).path.split("/")[-2:]
        names += ["/".join(parts), parts[-1]]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def set_folders(annotation_file: Path) -> list[Path]:
    """The folders of the set an annotation file belongs to: its own and, if that is `annotations`, the one above."""
    beside = annotation_file.absolute().parent
    return [beside, beside.parent] if beside.name == "annotations" else [beside]


def find_image_folder(annotation_file: Path, rows: Sequence[dict[str, Any]], on_disk: FolderListing) -> Path:
    """The folder in which the first images of an annotation file lie.

    Looked for in the file's own folder and, where that is `annotations`, the one above: in `images`, in the folder
    itself, and in folders named as the end of the file's name (`val2017` for `instances_val2017.json`). Where no image
    is found it is `images` beside the file if there is one, else the file's own folder.
    """
    part = annotation_file.name.partition(".json")[0].rpartition("_")[2]
    tried = list(islice((names for names in map(file_names, rows) if names), _NAMES_TRIED))
    for root in set_folders(annotation_file):
        for folder in dict.fromkeys((root / "images", root, root / part, root / "images" / part)):
            if any(find_file(names, [folder], on_disk) for names in tried):
                return folder
    beside = annotation_file.absolute().parent
    return beside / "images" if (beside / "images").is_dir() else beside


def find_file(names: Sequence[str], folders: Sequence[Path], on_disk: FolderListing) -> str:
    """The first of some names that is a file below the first folder, or absolute and below any; empty if none is."""
    places = [os.fspath(folder) for folder in folders]
    found = (path_within(name, *places) for name in names)
    return next((file for file in found if file is not None and file in on_disk), "")
