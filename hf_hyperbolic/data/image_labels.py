"""Open Images image-level labels: which classes people verified to be absent from an image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_hyperbolic.data.boxes import Federation, Problem
from hf_hyperbolic.data.csv_blocks import Block, as_numpy, map_blocks
from hf_hyperbolic.data.problem_log import EXAMPLES, ProblemLog


@dataclass(frozen=True)
class _Absent:
    """(n,) int64 numbers image * classes + class, and what was wrong in the block."""

    pairs: np.ndarray
    log: ProblemLog


def read_federation(
    label_file: Path,
    image_ids: np.ndarray,
    class_of_id: dict[str, int],
    seen: np.ndarray,
    group: np.ndarray,
    log: ProblemLog,
) -> Federation:
    """Reads ImageID, LabelName, Confidence; a Confidence of 0 says that people looked and the class is not there.

    Args:
        label_file: CSV, plain or compressed by gzip.
        image_ids: (I,) ids of the table's images.
        class_of_id: class id -> class.
        seen: (B, 2) image and class of every box in the box file, usable or not.
        group: (B,) bool, those around a group.
        log: gets what is wrong, and labels that contradict a box.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: empty, damaged, not UTF-8 or a column is missing.
    """
    classes = max(class_of_id.values()) + 1
    known_ids = pa.array(image_ids.tolist(), pa.string())

    def convert(block: Block) -> _Absent:
        found = ProblemLog()
        lines = block.cut_lines(EXAMPLES + 1)
        detail = "more or fewer values than line 1 names"
        cut = [Problem("wrong_length", f"{label_file}: line {number}", f"{detail}: {text!r}") for number, text in lines]
        found.add_many("wrong_length", len(block.cut), cut)
        confidence = block.numbers("Confidence")[:, 0]
        bad = np.flatnonzero(~np.isfinite(confidence))
        lines = block.lines(bad[: EXAMPLES + 1]) if len(bad) else []
        detail = "Confidence must be a number"
        examples = [
            Problem("no_confidence", f"{label_file}: line {line}", f"{detail}: {text!r}") for line, text in lines
        ]
        found.add_many("no_confidence", len(bad), examples)
        label, names = block.categories("LabelName")
        label = np.array([class_of_id.get(name, -1) for name in names], dtype=np.int64)[label]
        column = block.columns["ImageID"]
        rows = as_numpy(pc.index_in(column.dictionary, value_set=known_ids))
        image = np.nan_to_num(rows, nan=-1).astype(np.int64)[as_numpy(column.indices)]
        absent = (confidence == 0) & (label >= 0) & (image >= 0)
        return _Absent(image[absent] * classes + label[absent], found)

    parts = []
    for block in map_blocks(label_file, convert, text=("ImageID", "LabelName"), numbers=("Confidence",)):
        log.merge(block.log)
        parts.append(block.pairs)
    absent = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
    boxed = np.unique(seen[:, 0].astype(np.int64) * classes + seen[:, 1])
    wrong = np.isin(absent, boxed)
    names = {number: class_id for class_id, number in class_of_id.items()}
    examples = [
        Problem(
            "absent_but_boxed",
            f"{label_file}: image {image_ids[int(pair // classes)]}",
            f"{names[int(pair % classes)]} is verified absent but has a box: the box was believed",
        )
        for pair in absent[wrong][: EXAMPLES + 1]
    ]
    log.add_many("absent_but_boxed", int(wrong.sum()), examples)
    grouped = np.unique(seen[group, 0].astype(np.int64) * classes + seen[group, 1])
    return Federation(_columns(absent[~wrong], classes), _columns(grouped, classes))


def _columns(pairs: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([pairs // classes, pairs % classes], axis=1).astype(np.int32)
