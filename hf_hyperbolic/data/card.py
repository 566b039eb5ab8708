"""The card of an exported data set: a `README.md` with what the Hub and `load_dataset` read, and what a person wants
to know. All of it is read from the Parquet files, so it can be written again at any time."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from hf_hyperbolic.data.exported import CARD, MARK, PLOT, check_card, class_names, metadata, shard_files, split_names
from hf_hyperbolic.data.files import write_text, written_aside

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_TOP = 20

_COLUMNS = """\
One row an image. Nodes are numbered within the row: 0 is the full scene, 1 + b is box b.

| column | |
| --- | --- |
| `image` | the image file, embedded |
| `image_id` | text, unique in its split |
| `width`, `height` | pixels as shown |
| `boxes` | x0 y0 x1 y1 in pixels as shown, one a box |
| `labels` | class of each box |
| `levels` | length of the longest direct path from the scene to each box, at least 1 |
| `is_scene_duplicate` | the box is the whole image: level 0, and it stands in no pair |
| `direct` | pairs (parent, child) of node numbers, transitively reduced |
| `ancestry` | pairs (ancestor, descendant) of node numbers, at any distance |
"""
_FEDERATED = """\
| `verified_absent` | classes that were looked for in the image and are not there |
| `not_exhaustive` | classes of which not every instance in the image has a box |
"""


@dataclass(frozen=True)
class SplitSummary:
    """What a card says of a split.

    Attributes:
        images: number of rows.
        num_bytes: of its files.
        levels: level -> number of boxes; scene duplicates are at level 0.
        classes: (C,) boxes of each class.
        direct: number of direct pairs.
        ancestry: number of pairs at any distance.
        about: how it was made: license, built_from, threshold, duplicate_iou, deny.
        problems: reason -> how many things were skipped, clipped or encoded again.
    """

    images: int
    num_bytes: int
    levels: dict[int, int]
    classes: np.ndarray
    direct: int
    ancestry: int
    about: dict[str, Any]
    problems: dict[str, int]


def summarise(folder: Path) -> tuple[tuple[str, ...], dict[str, SplitSummary]]:
    """Class names, and split -> summary, of an exported data set; images are not read.

    Raises:
        FileNotFoundError: there are no Parquet files, or some are missing.
        ValueError: a file is not an export of this package, or the splits have other classes.
    """
    files = {split: shard_files(folder, split) for split in split_names(folder)}
    if not files:
        raise FileNotFoundError(
            f"{folder / 'data'}: no files {{split}}-00000-of-000NN.parquet: write them by export_parquet"
        )
    names: tuple[str, ...] | None = None
    summaries: dict[str, SplitSummary] = {}
    for split, members in files.items():
        found = class_names(members[0])
        if names is not None and found != names:
            raise ValueError(
                f"{folder}: split {split!r} has other classes than {next(iter(summaries))!r}, so they cannot be one "
                "data set: export one of them to another folder"
            )
        names = found
        summaries[split] = _summarise(members, len(names))
    assert names is not None
    return names, dict(sorted(summaries.items(), key=lambda item: (item[0] != "train", item[0])))


def _summarise(files: list[Path], num_classes: int) -> SplitSummary:
    images = direct = ancestry = 0
    levels: Counter[int] = Counter()
    problems: Counter[str] = Counter()
    classes = np.zeros(num_classes, dtype=np.int64)
    for file in files:
        columns = pq.read_table(file, columns=["labels", "levels", "direct", "ancestry"])
        images += columns.num_rows
        flat = {name: columns[name].combine_chunks().flatten() for name in columns.column_names}
        classes += np.bincount(flat["labels"].to_numpy(zero_copy_only=False), minlength=num_classes)
        levels.update(flat["levels"].to_pylist())
        direct += len(flat["direct"])
        ancestry += len(flat["ancestry"])
        problems.update(metadata(file).get("problems", {}))
    return SplitSummary(
        images=images,
        num_bytes=sum(file.stat().st_size for file in files),
        levels=dict(sorted(levels.items())),
        classes=classes,
        direct=direct,
        ancestry=ancestry,
        about=metadata(files[0]),
        problems=dict(problems.most_common()),
    )


def write_card(folder: str | os.PathLike[str], title: str | None = None) -> Path:
    """Writes `README.md`, and `class_frequencies.png` where matplotlib is installed, for all splits in a folder.

    Args:
        folder: of an exported data set.
        title: of the card; by default the folder's name.

    Raises:
        FileNotFoundError, ValueError: as `summarise`.
        FileExistsError: the folder has a `README.md` or a plot that this function did not write.
    """
    root = Path(folder)
    check_card(root)
    names, splits = summarise(root)
    title = title or root.absolute().name
    classes = sum(summary.classes for summary in splits.values())
    plot = _plot(root / PLOT, names, np.asarray(classes))
    federated = "verified_absent" in pq.read_schema(shard_files(root, next(iter(splits)))[0]).names
    text = [
        f"---\n{yaml.safe_dump(_header(title, splits), sort_keys=False, allow_unicode=True)}---\n",
        f"<!-- {MARK} Text added here is then lost. Without this line nothing is exported here again. -->\n",
        f"# {title}\n",
        "Images with boxes, and the hierarchy of each image: the scene holds objects, objects hold parts.\n",
        f'```python\nfrom datasets import load_dataset\n\ndata = load_dataset("{root.absolute().name}")\n```\n',
        f"## Columns\n\n{_COLUMNS}{_FEDERATED if federated else ''}",
        f"## Splits\n\n{_split_table(splits)}",
        f"Boxes by level:\n\n{_level_table(splits)}",
        f"## Classes\n\n{plot}\n\n{_class_list(names, np.asarray(classes))}",
        f"## How it was made\n\n{_made(splits)}",
    ]
    card = root / CARD
    write_text(card, "\n".join(text))
    return card


def _header(title: str, splits: dict[str, SplitSummary]) -> dict[str, Any]:
    licenses = list(dict.fromkeys(summary.about.get("license", "unknown") for summary in splits.values()))
    images = sum(summary.images for summary in splits.values())
    return {
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "pretty_name": title,
        "task_categories": ["object-detection", "image-feature-extraction"],
        "size_categories": [next((name for limit, name in _SIZES if images < limit), "10M<n<100M")],
        "tags": ["hierarchy", "entailment", "image-retrieval"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in splits],
            }
        ],
        # load_dataset checks these numbers, so that a file lost on the way is noticed
        "dataset_info": {
            "splits": [
                {"name": split, "num_bytes": summary.num_bytes, "num_examples": summary.images}
                for split, summary in splits.items()
            ],
            "download_size": sum(summary.num_bytes for summary in splits.values()),
            "dataset_size": sum(summary.num_bytes for summary in splits.values()),
        },
    }


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _split_table(splits: dict[str, SplitSummary]) -> str:
    return _table(
        ["split", "images", "boxes", "direct pairs", "pairs at any distance", "MB"],
        [
            [split, s.images, int(s.classes.sum()), s.direct, s.ancestry, f"{s.num_bytes / 1e6:,.1f}"]
            for split, s in splits.items()
        ],
    )


def _level_table(splits: dict[str, SplitSummary]) -> str:
    levels = sorted({level for summary in splits.values() for level in summary.levels})
    head = ["split", *("0 (scene duplicates)" if level == 0 else str(level) for level in levels)]
    return _table(head, [[split, *(s.levels.get(level, 0) for level in levels)] for split, s in splits.items()])


def _class_list(names: tuple[str, ...], classes: np.ndarray) -> str:
    order = np.argsort(-classes, kind="stable")[:_TOP]
    common = ", ".join(f"{names[c]} ({classes[c]:,})" for c in order if classes[c])
    never = int((classes == 0).sum())
    without = f" {never} of the {len(names)} classes have no box." if never else ""
    return f"{len(names)} classes; the most frequent: {common}.{without}\n"


def _made(splits: dict[str, SplitSummary]) -> str:
    paragraphs = []
    for split, summary in splits.items():
        about = summary.about
        counted = ", ".join(f"{count:,} `{reason}`" for reason, count in summary.problems.items()) or "none"
        paragraphs.append(
            f"**{split}**, from {about.get('built_from') or 'a table of boxes (source not stated)'}. A box is a part "
            f"of a larger one when at least {about.get('threshold', 0):.0%} of its area lies inside. Boxes with an IoU "
            f"above {about.get('duplicate_iou', 0)} are near-duplicates and form no pair. "
            f"{_denied(about.get('deny', []))}"
            f"Skipped, clipped or encoded again: {counted}.\n"
        )
    paragraphs.append(
        "JPEG and PNG files are embedded as they are. Those that EXIF rotates were turned upright and encoded again, "
        "files of other formats were encoded again as PNG (both counted as `reencoded`). The hierarchy follows arXiv "
        "2411.17490, section 3.1, applied recursively.\n"
    )
    return "\n".join(paragraphs)


def _denied(pairs: list[list[str]]) -> str:
    listed = ", ".join(f"`{parent}>{child}`" for parent, child in pairs)
    return f"Boxes of these classes form no pair, parent first (* is any class): {listed}. " if pairs else ""


def _plot(file: Path, names: tuple[str, ...], classes: np.ndarray) -> str:
    """Draws the class frequencies and returns the line of the card that shows or excuses them."""
    try:
        from hf_hyperbolic.data.card_plot import class_frequencies
    except ImportError:
        file.unlink(missing_ok=True)
        return "(No plot of the class frequencies: matplotlib was not installed.)"
    with written_aside(file) as aside:
        class_frequencies(names, classes).savefig(aside, format="png", dpi=144, metadata={"Software": MARK})
    return f"![Boxes of each class, most frequent first]({file.name})"
