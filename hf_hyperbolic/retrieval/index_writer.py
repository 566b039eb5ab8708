"""Writing an index: shard by shard, so that whatever was finished stays."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageOps

from hf_hyperbolic.data.images import decode
from hf_hyperbolic.retrieval.encoders import Box, Encoder
from hf_hyperbolic.retrieval.index_lock import WriterLock
from hf_hyperbolic.retrieval.index_manifest import MANIFEST, Manifest, SourceRecord
from hf_hyperbolic.retrieval.index_shards import ITEM_FIELDS, check_finite, map_shard, write_shard
from hf_hyperbolic.retrieval.index_thumbnails import thumbnail

# larger ones are searched faster, and are more to lose when a build is killed
SHARD_ROWS = 32_768

Picture = Image.Image | str | os.PathLike[str]


class IndexWriter:
    """Adds items to an index on disk; made by `Index.create` and `Index.append`, and to be used in a `with` block.

    Items are kept until a shard is full or the block ends, then written as one shard; whoever opens the index meanwhile
    sees the shards that are finished. Where the block ends with an error, what was not yet written is dropped.
    """

    def __init__(self, folder: Path, encoder: Encoder, manifest: Manifest, lock: WriterLock, shard_rows: int) -> None:
        if shard_rows < 1:
            raise ValueError(f"shard_rows must be at least 1, got {shard_rows}")
        self.folder, self.encoder, self.manifest, self.shard_rows = folder, encoder, manifest, shard_rows
        self._lock = lock
        # pairs, so that an interruption does not part them
        self._waiting: list[tuple[np.ndarray, dict[str, Any]]] = []
        self._ids: set[str] | None = None

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        encoder: Encoder,
        dtype: str = "float32",
        thumbnails: int = 0,
        shard_rows: int = SHARD_ROWS,
    ) -> "IndexWriter":
        """
        Raises:
            FileExistsError: there is an index already, or a folder of other things.
            IndexLockedError: somebody else is writing to it.
            ValueError: an unknown dtype.
        """
        folder = Path(path).absolute()
        manifest = Manifest.new(encoder, dtype, thumbnails)
        if folder.is_file():
            raise FileExistsError(f"{folder} is a file: an index is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / MANIFEST).exists():
            raise FileExistsError(f"{folder} holds an index already: append to it, or remove the folder")
        foreign = [entry.name for entry in folder.iterdir() if not entry.name.startswith(("writer.", "shard-", "."))]
        if foreign:
            raise FileExistsError(f"{folder} holds other things ({foreign[0]}): give a new folder for the index")
        lock = WriterLock(folder)
        lock.acquire()
        try:
            if (folder / MANIFEST).exists():
                raise FileExistsError(f"{folder} holds an index already: append to it, or remove the folder")
            writer = cls(folder, encoder, manifest, lock, shard_rows)
            manifest.write(folder)
        except BaseException:
            lock.release()
            raise
        return writer

    @classmethod
    def append(cls, path: str | os.PathLike[str], encoder: Encoder, shard_rows: int = SHARD_ROWS) -> "IndexWriter":
        """
        Raises:
            FileNotFoundError: there is no index.
            IndexFileError: one of its files is damaged.
            IndexLockedError: somebody else is writing to it.
            ModelMismatchError: another model made it.
        """
        folder = Path(path).absolute()
        Manifest.read(folder)
        lock = WriterLock(folder)
        lock.acquire()
        try:
            # read again: another writer may have ended just now
            manifest = Manifest.read(folder)
            manifest.model.check(encoder, folder)
            return cls(folder, encoder, manifest, lock, shard_rows)
        except BaseException:
            lock.release()
            raise

    @property
    def rows(self) -> int:
        """Items in finished shards and items that wait for theirs."""
        return self.manifest.rows + len(self._waiting)

    def add(
        self,
        images: Sequence[Picture] | None = None,
        *,
        ids: Sequence[str],
        embeddings: np.ndarray | None = None,
        boxes: Sequence[Box | None] | None = None,
        labels: Sequence[str | None] | None = None,
        files: Sequence[str | os.PathLike[str] | None] | None = None,
    ) -> None:
        """Adds images, or boxes of images, to be embedded; or embeddings that are there already.

        What is added here competes in both directions: nothing is known of what contains what.

        Args:
            images: PIL images or paths; None where embeddings are given.
            ids: unique in the index.
            embeddings: (n, D), of the index's model.
            boxes: for each item x0 y0 x1 y1 in pixels of its image as shown (turned by EXIF), None for the whole image.
                The level of the first is 1 (object), of the others 0 (scene).
            labels: class of each item.
            files: paths of the images, to show results by; those of `images` where they are paths.

        Raises:
            ValueError: arguments of different lengths, an id that is there already, embeddings of another dimension or
                with NaN (named), or neither images nor embeddings.
            BrokenImageError: an image cannot be read.
        """
        if (images is None) == (embeddings is None):
            raise ValueError("add takes either images or embeddings")
        ids = [str(name) for name in ids]
        given = {"images": images, "embeddings": embeddings, "boxes": boxes, "labels": labels, "files": files}
        for name, values in given.items():
            if values is not None and len(values) != len(ids):
                raise ValueError(f"{name}: {len(values)} for {len(ids)} ids; give one for each")
        self._check_ids(ids)
        boxes = [None] * len(ids) if boxes is None else boxes
        shown: list[Image.Image] = []
        if images is not None:
            if files is None:
                files = [None if isinstance(image, Image.Image) else image for image in images]
            # as shown, like files: boxes are in these pixels
            shown = [
                ImageOps.exif_transpose(image) if isinstance(image, Image.Image) else decode(os.fspath(image))
                for image in images
            ]
            embeddings = self.encoder.encode(shown, boxes)
        embeddings = np.asarray(embeddings, dtype=np.float32)
        if embeddings.ndim != 2 or embeddings.shape[1] != self.manifest.model.dim:
            raise ValueError(
                f"embeddings have shape {embeddings.shape}, expected (n, {self.manifest.model.dim}) of the model "
                f"{self.manifest.model.name}"
            )
        check_finite(embeddings, ids)
        side = self.manifest.thumbnails
        items: list[dict[str, Any]] = []
        for place, name in enumerate(ids):
            box, file = boxes[place], None if files is None else files[place]
            items.append(
                {
                    "id": name,
                    "image": None if file is None else os.path.abspath(file),
                    "box": None if box is None else [float(value) for value in box],
                    "label": None if labels is None else labels[place],
                    # of boxes it is known only that there is a scene around them
                    "level": 0 if box is None else 1,
                    "can_be_parent": True,
                    "can_be_child": True,
                    "thumbnail": thumbnail(shown[place], box, side) if side and shown else None,
                }
            )
        self._known_ids().update(ids)
        self._waiting += zip(embeddings, items, strict=True)
        while len(self._waiting) >= self.shard_rows:
            self._flush(self.shard_rows)

    def write(
        self, embeddings: np.ndarray, items: list[dict[str, Any]], sources: list[SourceRecord] | None = None
    ) -> None:
        """Writes a shard of (n, D) embeddings and n items with the fields of `ITEM_FIELDS`, then the manifest.

        `self.manifest` changes last and at once: whoever was interrupted before may write the same again.
        """
        manifest = replace(self.manifest, sources=self.manifest.sources if sources is None else sources)
        if items:
            table = pa.Table.from_pylist(items, schema=ITEM_FIELDS)
            manifest.shards = [*manifest.shards, write_shard(self.folder, self.manifest, embeddings, table)]
        manifest.write(self.folder)
        self.manifest = manifest

    def close(self) -> None:
        """Writes what is left and lets others write."""
        try:
            if self._waiting:
                self._flush(len(self._waiting))
        finally:
            self._lock.release()

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._lock.release()

    def _flush(self, count: int) -> None:
        first = self._waiting[:count]
        del self._waiting[:count]
        self.write(np.stack([embedding for embedding, _ in first]), [item for _, item in first])

    def _check_ids(self, ids: list[str]) -> None:
        known: set[str] = set()
        for name in ids:
            if name in known or name in self._known_ids():
                raise ValueError(f"id {name!r} is in the index already: ids are unique")
            known.add(name)

    def _known_ids(self) -> set[str]:
        if self._ids is None:
            self._ids = set()
            for number in range(len(self.manifest.shards)):
                self._ids.update(map_shard(self.folder, self.manifest, number).items["id"].to_pylist())
        return self._ids

    def first_known(self, ids: pa.Array) -> str | None:
        """The first of `ids` that the index has already."""
        for number in range(len(self.manifest.shards)):
            found = pc.filter(ids, pc.is_in(ids, map_shard(self.folder, self.manifest, number).items["id"]))
            if len(found):
                return found[0].as_py()
        return None
