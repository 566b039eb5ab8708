"""Images with their hierarchies -> Parquet files that `datasets.load_dataset` reads without this package."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features
from tqdm import tqdm

from hf_hyperbolic.data.boxes import BoxTable, Problem, count_problems
from hf_hyperbolic.data.builders.base import HierarchyBuilder
from hf_hyperbolic.data.card import write_card
from hf_hyperbolic.data.exported import METADATA_KEY, check_card, check_data, shard_files, split_names
from hf_hyperbolic.data.features import hierarchy_features
from hf_hyperbolic.data.files import replace_folder, swapped_out, write_text
from hf_hyperbolic.data.guards import named_pairs
from hf_hyperbolic.data.image_reader import Load
from hf_hyperbolic.data.images import BrokenImageError
from hf_hyperbolic.data.overlap import DUPLICATE_IOU
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.rows import embed_image, hierarchy_rows, split_images
from hf_hyperbolic.data.shard_size import images_per_shard

# rows read together: reading one image at random reads its whole row group
_ROW_GROUP = 16
# what `datasets` accepts as the name of a split
_SPLIT = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True)
class ParquetExport:
    """What an export wrote.

    Attributes:
        files: the Parquet files of the split.
        num_images: rows in them.
        num_boxes: boxes in them.
        problems: images that were left out or encoded again and boxes lost on the way to pixels, as far as the export
            met them itself; what the reader of the annotations met stays in the table's problems. Long lists shortened.
    """

    files: list[Path]
    num_images: int
    num_boxes: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Shard:
    """All that a process needs to write one file, and another beside it with the problems met."""

    table: BoxTable
    file: Path
    problem_file: Path
    features: Features
    threshold: float
    duplicate_iou: float
    deny: tuple[tuple[str, str], ...]
    load: Load | None
    metadata: dict[str, Any]


def export_parquet(
    source: BoxTable | HierarchyBuilder,
    folder: str | os.PathLike[str],
    split: str,
    *,
    license: str = "unknown",
    built_from: str = "",
    threshold: float = 0.8,
    duplicate_iou: float = DUPLICATE_IOU,
    deny: Collection[tuple[str, str]] = (),
    load: Load | None = None,
    rows_per_shard: int | None = None,
    max_shard_size: str = "500MB",
    num_proc: int = 1,
) -> ParquetExport:
    """Writes one split as `data/{split}-00000-of-000NN.parquet`, and the card `README.md` for all splits there.

    Rows are those of `hierarchy_features`; images are embedded as `embed_image` does. Those that cannot be used are
    left out, counted in the card and named in what is returned. Files are written in a hidden folder, which `datasets`
    does not look at, and put in place together. Called again after an interruption with the same source and settings,
    the export goes on behind the last finished file; images are taken not to have changed. The files do not depend on
    `num_proc`. Other splits in the folder stay; splits are exported one after the other.

    Args:
        source: boxes and images; or a builder, whose own threshold then holds.
        folder: of the data set.
        split: `"train"`, `"validation"`, ...
        license: of images and annotations, as the Hub names it (`"cc-by-4.0"`).
        built_from: what the table was read from and how, for the card; a builder says it itself.
        threshold: see `build_hierarchy`.
        duplicate_iou: see `build_hierarchy`.
        deny: class pairs (parent, child) that are never a containment, see `Guards`; the card tells them.
        load: see `ImageReader`; sent to the processes.
        rows_per_shard: images a file; by default as many as make about `max_shard_size`.
        max_shard_size: size of a file, such as `"500MB"`, kept about: it is reckoned from the mean of 64 images.
        num_proc: processes that write.

    Returns:
        The files and what is in them; `num_images` is less than the table's where images were left out.

    Raises:
        ValueError: an argument is out of range, `deny` names a class that the source does not have, another split in
            the folder has other classes, or no image can be used.
        FileNotFoundError: another split in the folder lacks a file.
        FileExistsError: the folder's `data`, `README.md` or plot is not of an export; nothing is touched.
        OSError: the folder cannot be written.
    """
    if isinstance(source, HierarchyBuilder):
        table, built_from = source.read_table(split), built_from or _describe(source, split)
        threshold, duplicate_iou = source.config.threshold, source.config.duplicate_iou
    elif isinstance(source, BoxTable):
        table = source
    else:
        raise TypeError(
            f"export_parquet takes a BoxTable or a HierarchyBuilder, got {type(source).__name__}; of a data set of the "
            "Hub, read_hub_detection gives the table and its load"
        )
    if not _SPLIT.fullmatch(split):
        raise ValueError(f"split {split!r}: datasets allows letters, digits and underscores, with dots between them")
    for name, value in (("threshold", threshold), ("duplicate_iou", duplicate_iou)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie in (0, 1], got {value}")
    for name, count in (("rows_per_shard", rows_per_shard), ("num_proc", num_proc)):
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    named_pairs(table, deny, "deny")
    denied = tuple(sorted({(parent, child) for parent, child in deny}))

    root = Path(folder)
    check_data(root, split)
    check_card(root)
    rows_per_shard = rows_per_shard or images_per_shard(table, load, max_shard_size)
    if (old := swapped_out(root / "data")).exists() and not (root / "data").exists():
        # an export was interrupted between the two renames of replace_folder
        os.replace(old, root / "data")
    features = hierarchy_features(table.class_names, table.federation is not None)
    for other in _other_files(root, split):
        if Features.from_arrow_schema(pq.read_schema(other)) != features:
            raise ValueError(
                f"{other} has other columns or classes than split {split!r}, so they cannot be one data set: export to "
                "another folder"
            )
    about = {
        "license": license, "built_from": built_from, "threshold": threshold, "duplicate_iou": duplicate_iou,
        "deny": denied,
    }  # fmt: skip
    aside = _begin(
        root / f".writing-{split}-hf-hyperbolic", {**about, "rows_per_shard": rows_per_shard, "table": _digest(table)}
    )
    parts = split_images(table, rows_per_shard)
    shards = [
        _Shard(
            table=part,
            file=aside / "data" / f"{split}-{number:05d}-of-{len(parts):05d}.parquet",
            problem_file=aside / f"problems-{number:05d}.json",
            features=features,
            threshold=threshold,
            duplicate_iou=duplicate_iou,
            deny=denied,
            load=load,
            # what the reader of the annotations met belongs to no shard: the first tells it
            metadata={**about, "problems": table.skipped() if number == 0 else {}},
        )
        for number, part in enumerate(parts)
    ]
    missing = [shard for shard in shards if not shard.file.exists()]
    progress = tqdm(
        _map(_write_shard, missing, num_proc), total=len(shards), initial=len(shards) - len(missing), unit="file"
    )
    progress.set_description(f"writing {split}")
    for _ in progress:
        pass
    if not sum(pq.read_metadata(shard.file).num_rows for shard in shards):
        shutil.rmtree(aside)
        raise ValueError(f"none of the {table.num_images} images of {split!r} can be used: {_first_problem(shards[0])}")
    _put_in_place(aside / "data", {shard.file for shard in shards}, root, split)
    write_card(root)
    written = _summarise([root / "data" / shard.file.name for shard in shards], shards)
    shutil.rmtree(aside)
    return written


def _summarise(files: list[Path], shards: list[_Shard]) -> ParquetExport:
    log = ProblemLog()
    for shard in shards:
        log.merge(ProblemLog(Problem(**row) for row in json.loads(shard.problem_file.read_text())))
    columns = [pq.read_table(file, columns=["labels"])["labels"].combine_chunks() for file in files]
    return ParquetExport(
        files, sum(map(len, columns)), sum(len(labels.flatten()) for labels in columns), log.problems()
    )


def _begin(aside: Path, settings: dict[str, Any]) -> Path:
    """The folder to write in: with the files of an interrupted export of the same settings, else empty."""
    record, text = aside / "settings.json", json.dumps(settings)
    if not (record.exists() and record.read_text() == text):
        shutil.rmtree(aside, ignore_errors=True)
    (aside / "data").mkdir(parents=True, exist_ok=True)
    write_text(record, text)
    return aside


def _write_shard(shard: _Shard) -> None:
    problems: list[Problem] = []
    rows = hierarchy_rows(shard.table, problems, shard.threshold, shard.duplicate_iou, shard.load, shard.deny)
    schema = shard.features.arrow_schema
    # a process that outlived a killed export may still be at the same file
    aside = shard.file.with_suffix(f".{os.getpid()}.part")
    with pq.ParquetWriter(aside, schema) as writer:
        while group := list(islice(rows, _ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
        counts = count_problems(problems)
        counts.update(shard.metadata["problems"])
        writer.add_key_value_metadata({METADATA_KEY: json.dumps({**shard.metadata, "problems": counts})})
    # first, so that a finished file of rows is never without it
    write_text(shard.problem_file, json.dumps([asdict(problem) for problem in ProblemLog(problems).problems()]))
    os.replace(aside, shard.file)


def _put_in_place(aside: Path, files: set[Path], root: Path, split: str) -> None:
    """The folder `aside`, with these files and those of the other splits, becomes `data`."""
    for file in aside.iterdir():
        if file not in files:  # left by an export that was interrupted just here
            file.unlink()
    for other in _other_files(root, split):
        _link(other, aside / other.name)
    replace_folder(aside, root / "data")


def _other_files(root: Path, split: str) -> list[Path]:
    return [file for name in split_names(root) if name != split for file in shard_files(root, name)]


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copy2(file, target)


def _map(function: Any, items: list[Any], num_proc: int) -> Iterator[Any]:
    if num_proc == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(num_proc) as pool:
        yield from pool.map(function, items)


def _digest(table: BoxTable) -> str:
    digest = hashlib.sha256(json.dumps([table.class_names, table.relative]).encode())
    columns = [table.image_ids, table.image_files, table.image_sizes, table.box_image, table.boxes, table.labels]
    if table.federation:
        columns += [table.federation.verified_absent, table.federation.not_exhaustive]
    for column in columns:
        digest.update(f"{column.dtype}{column.shape}".encode())
        digest.update(np.ascontiguousarray(column).data.cast("B") if column.size else b"")
    return digest.hexdigest()


def _first_problem(shard: _Shard) -> str:
    try:
        embed_image(str(shard.table.image_files[0]), shard.load)
    except BrokenImageError as error:
        return str(error)
    return "its sizes are not those of the annotations"


def _describe(builder: HierarchyBuilder, split: str) -> str:
    # names without folders: a published card must not tell where someone's files lay
    source, options = builder.splits()[split][0], builder.config.reader_options or {}
    with_options = "".join(f", {key}={_bare(value)}" for key, value in options.items())
    return f"{type(builder).__name__}: {Path(source).name}{with_options}"


def _bare(value: Any) -> str:
    return Path(value).name if isinstance(value, (str, os.PathLike)) else repr(value)
