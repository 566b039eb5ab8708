"""What an index on disk says about itself: `manifest.json`, written last of all, and whole or not at all."""

import json
import math
import os
import uuid
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.retrieval.encoders import Encoder

MANIFEST = "manifest.json"
FORMAT = "hf_hyperbolic index"
VERSION = 1
DTYPES = ("float32", "float16")


class IndexFileError(ValueError):
    """A file of an index that is missing, cut short, or of something else."""


class ModelMismatchError(ValueError):
    """An index and a model whose embeddings cannot be compared."""


@dataclass(frozen=True)
class ModelRecord:
    """Which model made the embeddings; see `Encoder`."""

    name: str
    fingerprint: str
    curvature: float | None
    dim: int
    dtype: str
    measures: dict[str, str]
    preprocessing: dict[str, Any]

    @classmethod
    def of(cls, encoder: Encoder) -> "ModelRecord":
        return cls(
            encoder.name,
            encoder.fingerprint,
            encoder.curvature,
            encoder.dim,
            encoder.dtype,
            dict(encoder.measures),
            encoder.preprocessing,
        )

    def check(self, encoder: Encoder, index: Path) -> None:
        """
        Raises:
            ModelMismatchError: the encoder is not the model that made the index; says in what they differ.
        """
        made, given = self, encoder
        if made.fingerprint == given.fingerprint and _same(made.curvature, given.curvature) and made.dim == given.dim:
            return
        differences = [
            f"{name} {getattr(made, name)!r} there, {getattr(given, name)!r} here"
            for name in ("dim", "dtype", "preprocessing")
            if getattr(made, name) != getattr(given, name)
        ]
        if not _same(made.curvature, given.curvature):
            differences.insert(0, f"curvature {_minus(made.curvature)} there, {_minus(given.curvature)} here")
        if not differences:
            differences = ["its weights or configuration are others"]
        raise ModelMismatchError(
            f"{index} was made by the model {made.name} (fingerprint {made.fingerprint[:12]}) and cannot be used with "
            f"{given.name} (fingerprint {given.fingerprint[:12]}): {'; '.join(differences)}. Use the model that made "
            "it, or build the index again"
        )


@dataclass(frozen=True)
class ShardRecord:
    """A shard: its file names without their endings, its rows, and the sizes of its two files in bytes."""

    name: str
    rows: int
    embeddings_bytes: int
    items_bytes: int

    @property
    def files(self) -> dict[str, int]:
        """File name -> size in bytes."""
        return {f"{self.name}.safetensors": self.embeddings_bytes, f"{self.name}.arrow": self.items_bytes}


@dataclass
class SourceRecord:
    """A data set or a folder that was built from, and how far.

    Attributes:
        path: of the source.
        split: of a data set, or None.
        format: as it was read, `"folder"` for a folder of images.
        digest: of the ids and boxes it held, and of the names and sizes of its image files.
        images: how many it has.
        images_done: how many of them are in finished shards, broken ones included.
        skipped: images that could not be read, by reason.
        root: folder that its image files have in common; empty where they are in no folder here.
    """

    path: str
    split: str | None
    format: str
    digest: str
    images: int
    images_done: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    root: str = ""

    @property
    def finished(self) -> bool:
        return self.images_done == self.images


@dataclass
class Manifest:
    """
    Attributes:
        index_id: drawn when the index was created; every shard carries it.
        model: that made the embeddings.
        dtype: of the stored embeddings, `"float32"` or `"float16"`.
        thumbnails: longest side of the stored thumbnails in pixels, 0 for none.
        shards: finished ones, in the order of their rows.
        sources: what was built from; only the last may be unfinished.
    """

    index_id: str
    model: ModelRecord
    dtype: str = "float32"
    thumbnails: int = 0
    shards: list[ShardRecord] = field(default_factory=list)
    sources: list[SourceRecord] = field(default_factory=list)

    @classmethod
    def new(cls, encoder: Encoder, dtype: str, thumbnails: int) -> "Manifest":
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        if thumbnails < 0:
            raise ValueError(f"thumbnails is a side in pixels, 0 for none; got {thumbnails}")
        return cls(uuid.uuid4().hex, ModelRecord.of(encoder), dtype, thumbnails)

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def unfinished(self) -> SourceRecord | None:
        return self.sources[-1] if self.sources and not self.sources[-1].finished else None

    def write(self, folder: Path) -> None:
        content = {"format": FORMAT, "version": VERSION, "rows": self.rows, **asdict(self)}
        write_text(folder / MANIFEST, json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Reads the manifest and compares the sizes of the files it names with theirs on disk.

        Raises:
            FileNotFoundError: the folder holds no index.
            IndexFileError: the manifest is damaged, of something else or of a later version; a shard is missing or of
                another size.
        """
        file = folder / MANIFEST
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{folder} holds no index ({MANIFEST}): build one with `hf-hyperbolic index build`"
            ) from None
        except NotADirectoryError:
            raise FileNotFoundError(f"{folder} is a file: an index is a folder with {MANIFEST}") from None
        except ValueError as error:
            raise IndexFileError(f"{file} is damaged, not JSON: {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise IndexFileError(f"{file} is of something else: an index has format {FORMAT!r} there")
        if content.get("version") != VERSION:
            raise IndexFileError(
                f"{file} is of version {content.get('version')}, this is for version {VERSION}: install the version of "
                "hf_hyperbolic that wrote it, or build the index again"
            )
        try:
            manifest = cls(
                content["index_id"],
                ModelRecord(**content["model"]),
                content["dtype"],
                content["thumbnails"],
                [ShardRecord(**shard) for shard in content["shards"]],
                [SourceRecord(**source) for source in content["sources"]],
            )
            counted = manifest.rows == content["rows"]
        except (KeyError, TypeError) as error:
            known = ", ".join(entry.name for entry in fields(cls))
            raise IndexFileError(f"{file} is damaged: expected {known} ({error})") from error
        if not counted or manifest.dtype not in DTYPES:
            raise IndexFileError(f"{file} is damaged: its shards do not add up to its rows, or dtype is unknown")
        for shard in manifest.shards:
            for name, size in shard.files.items():
                _check_size(folder / name, size)
        return manifest


def _check_size(file: Path, size: int) -> None:
    try:
        found = os.stat(file).st_size
    except FileNotFoundError:
        raise IndexFileError(f"{file} is missing: restore it, or build the index again") from None
    if found != size:
        what = "cut short" if found < size else "longer than it was written"
        raise IndexFileError(f"{file} is {what}: {found:,} bytes of {size:,}; restore it, or build the index again")


def _same(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-6)


def _minus(curvature: float | None) -> str:
    return "none" if curvature is None else f"-{curvature:.6g}"
