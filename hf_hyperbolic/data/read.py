"""One entrance for boxes from anywhere: COCO, LVIS, Pascal VOC, Open Images, exported Parquet, the Hugging Face Hub."""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hf_hyperbolic.data import layouts
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy_settings import HierarchySettings
from hf_hyperbolic.data.image_reader import ImageReader, Load
from hf_hyperbolic.data.layouts import Found


@dataclass(frozen=True)
class Format:
    """How a format is recognised and read.

    Attributes:
        name: what `format=` calls it.
        looked_for: what a source of this format holds, for the error when there is none.
        find: source and split -> the arguments of `reader` for each candidate.
        reader: `"module:function"`, imported when it is needed; gives a table, or a table and its `Load`.
        takes: which of `image_folder`, `min_size` and `min_share` the reader takes.
    """

    name: str
    looked_for: str
    find: Callable[[str, str | None], list[Found]]
    reader: str
    takes: frozenset[str] = frozenset({"image_folder", "min_size"})


# a further source is one entry here
FORMATS = (
    Format(
        "coco",
        "instances_{split}.json, also in annotations/ or with a year, or {split}/_annotations.coco.json",
        layouts.find_coco,
        "hf_hyperbolic.data.coco:read_coco",
    ),
    Format(
        "lvis",
        "lvis_*_{split}.json, also in annotations/, or COCO's names with neg_category_ids in it",
        layouts.find_lvis,
        "hf_hyperbolic.data.lvis:read_lvis",
    ),
    Format(
        "voc",
        "Annotations/*.xml, also in VOC*/ or VOCdevkit/VOC*/",
        layouts.find_voc,
        "hf_hyperbolic.data.voc:read_voc",
        frozenset({"min_size"}),
    ),
    Format(
        "open_images",
        "*{split}*bbox*.csv, also in annotations/, with columns ImageID, LabelName, XMin, ...",
        layouts.find_open_images,
        "hf_hyperbolic.data.open_images:read_open_images",
        # sizes are unknown until images are read, so it has min_share instead
        frozenset({"image_folder", "min_share"}),
    ),
    Format(
        "parquet",
        "data/{split}-*-of-*.parquet with column ancestry",
        layouts.find_parquet,
        "hf_hyperbolic.data.parquet:read_parquet",
        frozenset(),
    ),
    Format(
        "hub",
        "a name owner/name on the Hugging Face Hub, or data/{split}-*-of-*.parquet with column objects",
        layouts.find_hub,
        "hf_hyperbolic.data.hub_detection:read_hub_detection",
        frozenset({"min_size"}),
    ),
)


@dataclass(frozen=True)
class Source:
    """Boxes, and where their images come from.

    Attributes:
        table: the boxes; `image_files` are what `load` takes, or paths, or empty where there are no images.
        load: image file -> its content, for sources whose images are no files of their own (Parquet, Hub); else None.
        format: name of the format it was read as.
        exported: by which settings an exported set found its pairs; whoever builds them again must use the same. None
            for all other sources.
    """

    table: BoxTable
    load: Load | None
    format: str
    exported: HierarchySettings | None = None

    @property
    def has_images(self) -> bool:
        return bool((self.table.image_files != "").all())

    def images(self, cache_bytes: int = 1 << 28) -> ImageReader:
        """A reader of the images.

        Raises:
            ValueError: the source has none.
        """
        self.require_images()
        return ImageReader(self.table, cache_bytes, self.load)

    def require_images(self) -> None:
        """
        Raises:
            ValueError: the source has no images.
        """
        if not self.has_images:
            missing = self.table.image_ids[self.table.image_files == ""]
            raise ValueError(
                f"{len(missing):,} of the source's {self.table.num_images:,} images are not at hand, the first is "
                f"{missing[0]}: name their folder by image_folder"
            )


def read_source(
    source: str | os.PathLike[str],
    split: str | None = None,
    *,
    format: str = "auto",
    image_folder: str | os.PathLike[str] | None = None,
    min_size: float = 4.0,
    **options: Any,
) -> Source:
    """Recognises what a source is and reads it.

    Args:
        source: annotation file or folder, or the name of a data set on the Hub.
        split: `"train"`, `"val"` (or `"validation"`), ...; None where the source holds one split, or is one file, in
            which case it is not looked at.
        format: one of `FORMATS`, or `"auto"`.
        image_folder: where the images lie, if not with the annotations.
        min_size: boxes with a side shorter than this many pixels are skipped. Not applied to exported Parquet (already
            filtered) nor to Open Images, which tells no sizes: that reader takes `min_share`. But 0 is nothing in any
            unit, and is that of `min_share` too unless that is given.
        options: further arguments of the format's reader.

    Raises:
        FileNotFoundError: no such source, or nothing in it is of a known format; lists what was looked for.
        ValueError: an unknown format or option, several candidates, or what the reader raises.
    """
    source = os.fspath(source)
    chosen = [entry for entry in FORMATS if format in ("auto", entry.name)]
    if not chosen:
        raise ValueError(f"format must be auto, {', '.join(entry.name for entry in FORMATS)}; got {format!r}")
    found = [(entry, arguments) for entry in chosen for arguments in entry.find(source, split)]
    if not found and format == "hub" and not Path(source).exists():
        # names of old have no owner
        found = [(chosen[0], {"dataset": source, "split": split})]
    if not found:
        raise FileNotFoundError(_nothing(source, split, chosen))
    if len(found) > 1:
        several = "; ".join(f"{entry.name}: {next(iter(found.values()))}{_of(found)}" for entry, found in found)
        raise ValueError(
            f"{source} can be read in several ways: choose one by format (--format) or split (--split): {several}"
        )
    entry, arguments = found[0]
    if image_folder is not None:
        if "image_folder" not in entry.takes:
            raise ValueError(f"{source}: image_folder has no meaning for format {entry.name}: it knows its images")
        arguments["image_folder"] = image_folder
    if "min_size" in entry.takes:
        arguments["min_size"] = min_size
    if "min_share" in entry.takes and min_size == 0:
        options.setdefault("min_share", 0.0)
    try:
        result = _reader(entry, options)(**arguments, **options)
    except (FileNotFoundError, ConnectionError) as error:
        if Path(source).exists():
            raise
        # a mistyped path may look like a name on the Hub
        raise FileNotFoundError(
            f"{source}: no such file or folder here, and as a data set of the Hub it cannot be loaded: {error}"
        ) from error
    table, load = result if isinstance(result, tuple) else (result, None)
    return Source(table, load, entry.name, _export_settings(**arguments) if entry.name == "parquet" else None)


def read_boxes(
    source: str | os.PathLike[str],
    split: str | None = None,
    *,
    format: str = "auto",
    image_folder: str | os.PathLike[str] | None = None,
    min_size: float = 4.0,
    **options: Any,
) -> BoxTable:
    """The boxes of `read_source`, for whoever needs no pixels or has images in files of their own."""
    return read_source(source, split, format=format, image_folder=image_folder, min_size=min_size, **options).table


def _reader(entry: Format, options: dict[str, Any]) -> Callable[..., Any]:
    module, _, name = entry.reader.partition(":")
    reader: Callable[..., Any] = getattr(import_module(module), name)
    signature = inspect.signature(reader).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values()):
        return reader
    parameters = {
        name: parameter
        for name, parameter in signature.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("min_size", "image_folder")
    }
    unknown = sorted(set(options) - set(parameters))
    if unknown:
        takes = ", ".join(parameters) or "no further argument"
        raise ValueError(f"format {entry.name} takes no {', '.join(unknown)}; it takes {takes}")
    for name, value in options.items():
        default = parameters[name].default
        wanted = bool if isinstance(default, bool) else float if isinstance(default, int | float) else None
        if wanted is bool and not isinstance(value, bool):
            raise ValueError(f"{name} of format {entry.name} is true or false, got {value!r}")
        if wanted is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} of format {entry.name} is a number, got {value!r}")
    return reader


def _export_settings(folder: Path, split: str) -> HierarchySettings | None:
    # it imports datasets, which takes seconds
    from hf_hyperbolic.data.exported import export_settings

    return export_settings(folder, split)


def _of(found: Found) -> str:
    return f", split {found['split']}" if found.get("split") else ""


def _nothing(source: str, split: str | None, formats: list[Format]) -> str:
    path = Path(source)
    if not path.exists():
        return f"{source}: no such file or folder, nor a name owner/name of a data set on the Hugging Face Hub"
    if path.is_file():
        return (
            f"{source}: not an annotation file of a known format: looked for JSON (coco, lvis) and for CSV with the "
            "columns ImageID, LabelName, XMin (open_images)"
        )
    looked = "; ".join(f"{entry.name}: {entry.looked_for.format(split=split or '*')}" for entry in formats)
    there = sorted(f"{item.name}/" if item.is_dir() else item.name for item in path.iterdir())
    listed = ", ".join(there[:10]) + (f", ... ({len(there)} in all)" if len(there) > 10 else "")
    wanted = f"annotations of split {split!r}" if split else "annotations"
    return f"{source}: found no {wanted}; looked for {looked}. The folder holds {listed or 'nothing'}"
