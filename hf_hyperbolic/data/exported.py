"""What makes up an exported data set: the files `data/{split}-00000-of-000NN.parquet`, what they say of themselves, and
which files of its folder an export may replace."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from PIL import Image

from hf_hyperbolic.data.hierarchy_settings import HierarchySettings

# key of the metadata of a Parquet file under which the export says how it was made, as JSON
METADATA_KEY = "hf_hyperbolic"
CARD = "README.md"
PLOT = "class_frequencies.png"
# by this the export knows a card and a plot as its own
MARK = "Written by hf_hyperbolic, and written anew with every export."

_SHARD = re.compile(r"(?P<split>\w+(?:\.\w+)*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.parquet")


def split_names(folder: Path) -> list[str]:
    """The splits of which an exported data set has a file, in alphabetical order."""
    matches = (_SHARD.fullmatch(file.name) for file in (folder / "data").glob("*.parquet"))
    return sorted({match["split"] for match in matches if match})


def shard_files(folder: Path, split: str) -> list[Path]:
    """The Parquet files of a split of an exported data set, in order; empty where there is no such split.

    Raises:
        FileNotFoundError: some of them are missing.
    """
    by_count: dict[int, list[Path]] = {}
    for file in sorted((folder / "data").glob("*.parquet")):
        match = _SHARD.fullmatch(file.name)
        if match and match["split"] == split:
            by_count.setdefault(int(match["count"]), []).append(file)
    for count, files in by_count.items():
        if len(by_count) > 1 or len(files) != count:
            raise FileNotFoundError(
                f"{folder / 'data'}: split {split!r} has {len(files)} of the {count} files its file names speak of: "
                "fetch or export it again"
            )
    return [file for files in by_count.values() for file in files]


def class_names(file: Path) -> tuple[str, ...]:
    """The class names in the schema of an exported Parquet file.

    Raises:
        ValueError: it has no column `labels` of class labels.
    """
    features = Features.from_arrow_schema(pq.read_schema(file))
    try:
        return tuple(features["labels"].feature.names)
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{file}: no column `labels` of class labels: not a file export_parquet wrote") from error


def metadata(file: Path) -> dict[str, Any]:
    """How an exported Parquet file was made; empty where something else has written it anew."""
    return json.loads((pq.read_metadata(file).metadata or {}).get(METADATA_KEY.encode(), b"{}"))


def export_settings(folder: Path, split: str) -> HierarchySettings | None:
    """By which settings the pairs of an exported split were found; None where its files do not say.

    Raises:
        FileNotFoundError: some of its files are missing.
        ValueError: its files are of exports with different settings.
    """
    found: set[HierarchySettings | None] = set()
    for file in shard_files(folder, split):
        about = metadata(file)
        if "threshold" in about and "duplicate_iou" in about:
            deny = tuple((parent, child) for parent, child in about.get("deny", []))
            found.add(HierarchySettings(about["threshold"], about["duplicate_iou"], deny))
        else:
            found.add(None)
    if len(found) > 1:
        raise ValueError(f"{folder / 'data'}: the files of split {split!r} are of two exports: export the split again")
    return found.pop() if found else None


def check_data(folder: Path, split: str) -> None:
    """Makes sure that exporting a split to a folder replaces only files of exports.

    Raises:
        FileExistsError: its `data` holds something else.
    """
    data = folder / "data"
    foreign = [data] if data.exists() and not data.is_dir() else []
    for file in sorted(data.iterdir()) if data.is_dir() else []:
        match = _SHARD.fullmatch(file.name)
        if not (match and file.is_file()) or (match["split"] == split and not _is_exported(file)):
            foreign.append(file)
    if foreign:
        more = f" (and {len(foreign) - 1:,} more)" if len(foreign) > 1 else ""
        raise FileExistsError(
            f"{foreign[0]}{more}: not a file export_parquet wrote, and an export replaces all of {data}: export to "
            "another folder"
        )


def check_card(folder: Path) -> None:
    """Makes sure that writing the card of a folder replaces only an earlier card.

    Raises:
        FileExistsError: it has a `README.md` or a plot of another origin.
    """
    card, plot = folder / CARD, folder / PLOT
    for file, is_ours in ((card, _is_card), (plot, _is_plot)):
        if (file.exists() or file.is_symlink()) and not is_ours(file):
            raise FileExistsError(
                f"{file}: not a file export_parquet wrote, and the card would replace it: export to another folder"
            )


def _is_exported(file: Path) -> bool:
    try:
        return "ancestry" in pq.read_schema(file).names
    except (OSError, pa.ArrowException):
        return False


def _is_card(file: Path) -> bool:
    return file.is_file() and f"<!-- {MARK}" in file.read_text(encoding="utf-8", errors="replace")


def _is_plot(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            return image.info.get("Software") == MARK
    except OSError:
        return False
