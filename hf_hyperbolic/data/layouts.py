"""Which files of a folder belong to which data set format: what `read_boxes` looks for.

A finder takes a source and a split (None: any) and gives one dictionary of reader arguments for each candidate.
"""

import glob
import gzip
import mmap
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.text_files import DAMAGE, open_text

Found = dict[str, Any]

# names of one split in use side by side
_ALIASES = {"val": "validation", "validation": "val"}
_COCO_NAMES = ("instances_{split}.json", "instances_{split}20[0-9][0-9].json", "{split}/_annotations.coco.json")
_CAPTIONS_NAMES = ("captions_{split}.json", "captions_{split}20[0-9][0-9].json")
_LVIS_NAMES = ("lvis*_{split}.json", "lvis*_{split}_*.json")
_OPEN_IMAGES_NAMES = ("*{split}*bbox*.csv", "*{split}*bbox*.csv.gz", "{split}/labels/detections.csv")
_OPEN_IMAGES_COLUMNS = {"ImageID", "LabelName", "XMin"}
# keys that LVIS adds to the images of a COCO file
_LVIS_KEYS = (b'"neg_category_ids"', b'"not_exhaustive_category_ids"')
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def find_coco(source: str, split: str | None) -> list[Found]:
    """JSON files without LVIS's keys."""
    files = [file for file in _json_files(source, split, _COCO_NAMES) if not _is_lvis(file)]
    return [{"annotation_file": file} for file in files]


def find_lvis(source: str, split: str | None) -> list[Found]:
    """JSON files of LVIS's or COCO's names with LVIS's keys."""
    files = [file for file in _json_files(source, split, (*_LVIS_NAMES, *_COCO_NAMES)) if _is_lvis(file)]
    return [{"annotation_file": file} for file in files]


def find_captions(folder: Path, split: str) -> list[Path]:
    """Captions of a split in COCO's layout, in a folder or its `annotations`."""
    return _matches(folder, _CAPTIONS_NAMES, split)


def find_voc(source: str, split: str | None) -> list[Found]:
    """Folders with `Annotations/*.xml`: the source itself, or those of a VOCdevkit below it."""
    root = Path(source)
    roots = [root, *(path for name in ("VOC*", "VOCdevkit/VOC*") for path in sorted(root.glob(name)))]
    found = [path for path in roots if next(path.glob("Annotations/*.xml"), None)]
    return [{"folder": path, "split": _voc_list(path, split)} for path in found]


def find_open_images(source: str, split: str | None) -> list[Found]:
    """CSV files of boxes, with the class descriptions and image folder that lie with them where there are any."""
    root = Path(source)
    if root.is_file():
        files, folder = ([root] if _is_box_csv(root) else []), root.absolute().parent
    else:
        files = [file for file in _matches(root, _OPEN_IMAGES_NAMES, split) if _is_box_csv(file)]
        folder = root
    return [
        {
            "box_file": file,
            "image_folder": _open_images_folder(folder, file, split),
            "class_file": _class_file(folder, file),
        }
        for file in files
    ]


def find_parquet(source: str, split: str | None) -> list[Found]:
    """Folders with `data/{split}-*.parquet` that `export_parquet` wrote."""
    shards = _shards(Path(source).absolute(), split)
    return [
        {"folder": files[0].parent.parent, "split": name}
        for name, files in shards.items()
        if files[0].parent.name == "data" and "ancestry" in _columns(files[0])
    ]


def find_hub(source: str, split: str | None) -> list[Found]:
    """Names `owner/name` that are no path, and folders of Parquet files with the column `objects`."""
    if Path(source).exists():
        shards = _shards(Path(source), split)
        return [{"dataset": source, "split": name} for name, files in shards.items() if "objects" in _columns(files[0])]
    return [{"dataset": source, "split": split}] if _HUB_NAME.fullmatch(source) else []


def _names(split: str | None) -> list[str]:
    """Spellings of a split; the second is for where the first is not there."""
    return [split, _ALIASES[split]] if split in _ALIASES else [split or "*"]


def _glob(folder: Path, pattern: str, name: str) -> list[Path]:
    """Files that match a pattern with a split's name (`"*"`: any) filled in."""
    filled = re.sub(r"\*+", "*", pattern.format(split=name if name == "*" else glob.escape(name)))
    return sorted(file for file in folder.glob(filled) if file.is_file())


def _matches(root: Path, patterns: Iterable[str], split: str | None) -> list[Path]:
    """Files in a folder or its `annotations` that match a pattern."""
    for name in _names(split):
        found = {
            file
            for folder in (root, root / "annotations")
            for pattern in patterns
            for file in _glob(folder, pattern, name)
        }
        if found:
            return sorted(found)
    return []


def _json_files(source: str, split: str | None, patterns: Iterable[str]) -> list[Path]:
    root = Path(source)
    if root.is_file():
        return [root] if root.name.lower().endswith((".json", ".json.gz")) else []
    return _matches(root, patterns, split)


def _is_lvis(file: Path) -> bool:
    if file.name.startswith("lvis"):
        return True
    if not file.stat().st_size:
        return False
    with file.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return any(content.find(key) >= 0 for key in _LVIS_KEYS)
    try:
        with open_text(file) as text:
            tail = b""
            while part := text.read(1 << 20):
                if any(key in tail + part for key in _LVIS_KEYS):
                    return True
                tail = part[-max(map(len, _LVIS_KEYS)) :]
    except (*DAMAGE, ValueError):
        # the reader says what is wrong
        return False
    return False


def _voc_list(folder: Path, split: str | None) -> str | None:
    # a folder without lists is one split, whatever its name
    if split is None or not (folder / "ImageSets" / "Main").is_dir():
        return None
    lists = [name for name in _names(split) if (folder / "ImageSets" / "Main" / f"{name}.txt").is_file()]
    return lists[0] if lists else split


def _is_box_csv(file: Path) -> bool:
    if not file.name.endswith((".csv", ".csv.gz")):
        return False
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            header = stream.readline(10_000).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError):
        return False
    return {name.strip(' "') for name in header.strip().split(",")} >= _OPEN_IMAGES_COLUMNS


def _open_images_folder(root: Path, file: Path, split: str | None) -> Path | None:
    names = _names(split) if split else [name for name in ("train", "validation", "test") if name in file.name]
    candidates = [
        folder for name in names for folder in (root / name / "data", root / name, root / "images" / name)
    ] + [root / "images", root]
    return next((folder for folder in candidates if next(folder.glob("*.jpg"), None)), None)


def _class_file(root: Path, file: Path) -> Path | None:
    folders = dict.fromkeys((root, root / "annotations", file.absolute().parent, file.parent.parent / "metadata"))
    found = [path for folder in folders for path in sorted(folder.glob("*class*descriptions*.csv"))]
    found += [path for folder in folders for path in sorted(folder.glob("classes.csv"))]
    # the file of the 600 boxable classes may stand beside that of all 20,000
    return next((path for path in found if "boxable" in path.name), found[0] if found else None)


def _shards(root: Path, split: str | None) -> dict[str, list[Path]]:
    """Parquet files of a folder by split."""
    for name in _names(split):
        if found := _glob(root, "data/{split}-*-of-*.parquet", name) or _glob(root, "{split}-*-of-*.parquet", name):
            shards: dict[str, list[Path]] = {}
            for file in found:
                shards.setdefault(file.name.rsplit("-", 3)[0], []).append(file)
            return shards
    return {}


def _columns(file: Path) -> list[str]:
    # not needed by any other format, and slow to import
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(file).names)
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{file}: not a Parquet file: {error}") from error
