"""COCO captions files (https://cocodataset.org/#format-data): what people wrote under whole images."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_hyperbolic.data.boxes import BoxTable, Problem, count_problems
from hf_hyperbolic.data.coco_layout import id_text, is_id
from hf_hyperbolic.data.layouts import find_captions
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.text_files import read_json

_REASONS = {
    "no_image_id": "image_id must be a whole number or text",
    "no_caption": "caption must be text",
    "empty_caption": "caption holds no word",
    "half_character": "caption holds one half of a surrogate pair, which is no text",
    "unknown_image": "image_id is not among the images of the file",
    "other_image": "its image is not among those asked for",
}
_SPLITS = ("train", "val", "test", "ood")


@dataclass(frozen=True)
class Captions:
    """Captions of the images of a `BoxTable`; those of one image stand together, in the order of the file.

    Attributes:
        texts: (n,) captions, runs of white space made one space.
        image: (n,) int64, row of the image that each is of, non-decreasing.
        num_images: I, images of the table, with a caption or not.
        problems: what was left out, in the order met.
    """

    texts: tuple[str, ...]
    image: np.ndarray
    num_images: int
    problems: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        if self.image.shape != (len(self.texts),):
            raise ValueError(f"Captions.image has shape {self.image.shape}, expected ({len(self.texts)},)")
        bounded = not len(self.image) or 0 <= self.image[0] <= self.image[-1] < self.num_images
        if not bounded or (np.diff(self.image) < 0).any():
            raise ValueError(f"Captions.image must be sorted and lie in [0, {self.num_images})")

    def summary(self) -> str:
        """One line: captions, images with and without one, and what was left out."""
        having = len(np.unique(self.image))
        left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(count_problems(self.problems).items()))
        return (
            f"{len(self.texts)} captions of {having} images, {self.num_images - having} images without one; "
            f"left out {left_out or 'nothing'}"
        )

    def only(self, kept: np.ndarray) -> "Captions":
        """Those of (n,) bool."""
        texts = tuple(text for text, keep in zip(self.texts, kept.tolist(), strict=True) if keep)
        return Captions(texts, self.image[kept], self.num_images, self.problems)

    def draw(self, images: int, rng: np.random.Generator) -> np.ndarray:
        """(m,) int64 rows of captions of so many images, one each; all images that have one where there are fewer."""
        _, first, count = np.unique(self.image, return_index=True, return_counts=True)
        chosen = rng.permutation(len(first))[:images]
        return first[chosen] + (rng.random(len(chosen)) * count[chosen]).astype(np.int64)


def read_captions(path: str | os.PathLike[str], table: BoxTable) -> Captions:
    """Reads the captions of a table's images from a file in the layout of COCO's `captions_val2017.json`.

    What is skipped is recorded in `Captions.problems` and never stops the reading, unless nothing is left: rows whose
    `image_id` is no id or whose `caption` is no text, captions without a word or with half a character, captions of
    images that the file does not list (`unknown_image`), and of images that the table does not have (`other_image`:
    they were left out of it, or it is a part of the split).

    Args:
        path: JSON with `annotations`, each with `image_id` and `caption`, and `images`, which may be missing.
        table: whose `image_ids` are the file's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no captions file, no caption is left, or its images are others of the same ids.
    """
    path = Path(path)
    listed, rows = _load(path)
    row_of = {key: row for row, key in enumerate(table.image_ids.tolist())}
    log = ProblemLog()
    found: list[tuple[int, str]] = []
    for number, row in enumerate(rows):
        key, caption = row.get("image_id"), row.get("caption")
        text = " ".join(caption.split()) if isinstance(caption, str) else ""
        image = row_of.get(id_text(key)) if is_id(key) else None
        if not is_id(key):
            reason = "no_image_id"
        elif not isinstance(caption, str):
            reason = "no_caption"
        elif not text:
            reason = "empty_caption"
        elif not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            reason = "half_character"  # as JSON may hold it, and no tokenizer takes
        elif listed is not None and id_text(key) not in listed:
            reason = "unknown_image"
        elif image is None:
            reason = "other_image"
        else:
            found.append((image, text))
            continue
        about = f"caption {caption!r}" if reason == "no_caption" else f"image_id {key!r}"
        log.add(reason, f"{path}: annotations[{number}] (id {row.get('id')})", f"{about}: {_REASONS[reason]}")
    if not found:
        raise ValueError(
            f"{path}: none of its {len(rows)} captions is of the {table.num_images} images at hand{log.summary()}: "
            "give the captions of the very images that the boxes are of"
        )
    if listed is not None:
        _check_names(path, listed, table, {image for image, _ in found})
    found.sort(key=lambda one: one[0])
    image_rows = np.array([image for image, _ in found], dtype=np.int64)
    return Captions(tuple(text for _, text in found), image_rows, table.num_images, log.problems())


def captions_file(source: str | os.PathLike[str], split: str) -> Path:
    """The captions of a split: the file itself, or of a folder `captions_{split}*.json` in it or its `annotations`.

    Args:
        source: captions file or folder.
        split: `"train"`, `"val"`, ...

    Raises:
        FileNotFoundError: there is none, or no such file or folder.
        ValueError: there are several, or the file is by its name of another split and that of this one lies beside it:
            numbers and names of images may be the same in both.
    """
    path = Path(source)
    if path.is_file():
        own = find_captions(path.parent, split)
        others = [file for other in _SPLITS for file in find_captions(path.parent, other)]
        if own and path in others and path not in own:
            raise ValueError(
                f"{path} are the captions of another split: {own[0].name} beside them are those of {split}"
            )
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"{source}: no such file or folder: give a captions file, or the folder it is in")
    found = find_captions(path, split)
    if not found:
        raise FileNotFoundError(
            f"{source}: no captions of {split}: expected captions_{split}.json or COCO's captions_{split}2017.json in "
            "that folder or its annotations"
        )
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ValueError(f"{source}: {names} may all be the captions of {split}: name one of them, or keep one")
    return found[0]


def _load(path: Path) -> tuple[dict[str, str] | None, list[dict[str, Any]]]:
    """Image id -> file name, None where no images are listed, and the rows of captions."""
    document = read_json(path)
    if not isinstance(document, dict) or "annotations" not in document:
        raise ValueError(f"{path}: not a COCO captions file: expected an object with images and annotations")
    for key in ("images", "annotations"):
        rows = document.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError(f"{path}: not a COCO captions file: {key} must be a list of objects")
    rows = document["annotations"]
    if rows and not any("caption" in row for row in rows):
        raise ValueError(
            f"{path}: not a COCO captions file: no annotation has a caption; COCO's are in captions_train2017.json and "
            "captions_val2017.json"
        )
    if "images" not in document:
        return None, rows
    return {
        id_text(row["id"]): row["file_name"] if isinstance(row.get("file_name"), str) else ""
        for row in document["images"]
        if is_id(row.get("id"))
    }, rows


def _check_names(path: Path, listed: dict[str, str], table: BoxTable, images: set[int]) -> None:
    """Refuses captions of another set whose images have the same ids, which are often 1, 2, 3, ..."""
    pairs = [(listed[str(table.image_ids[image])], str(table.image_files[image])) for image in sorted(images)]
    # an image in a Parquet file, or stored anew in another format, has no name to compare
    paths = [(Path(one), Path(other)) for one, other in pairs if one]
    named = [(one.name, other.name) for one, other in paths if one.suffix == other.suffix]
    if named and all(one != other for one, other in named):
        raise ValueError(
            f"{path}: its images have the ids of those at hand but other names ({named[0][0]}, where the boxes have "
            f"{named[0][1]}): these are captions of other images"
        )
