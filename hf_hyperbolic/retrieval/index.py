"""An index on disk: embeddings of images and boxes with what they are of, searched in both directions."""

import os
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hf_hyperbolic import lorentz
from hf_hyperbolic.data.images import decode
from hf_hyperbolic.retrieval.encoders import Box, Encoder, TextEncoder
from hf_hyperbolic.retrieval.index_filter import Competing, Where
from hf_hyperbolic.retrieval.index_hub import index_folder
from hf_hyperbolic.retrieval.index_manifest import Manifest
from hf_hyperbolic.retrieval.index_results import Found, Results
from hf_hyperbolic.retrieval.index_rows import IndexRows
from hf_hyperbolic.retrieval.index_shards import check_finite
from hf_hyperbolic.retrieval.index_writer import SHARD_ROWS, IndexWriter
from hf_hyperbolic.retrieval.search import search

# an image, a path of one, a row of the index, or an embedding that its model made
Query = Image.Image | str | os.PathLike[str] | int | np.ndarray
_FLAGS = {"children": "can_be_child", "parents": "can_be_parent"}


class Index(IndexRows):
    """An index as it was when it was opened; what a writer adds later is seen by opening it again."""

    def __init__(self, folder: Path, manifest: Manifest, encoder: Encoder | str | os.PathLike[str] | None) -> None:
        super().__init__(folder, manifest)
        self._given = encoder
        self._competing = Competing(self.tables)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        encoder: Encoder | str | os.PathLike[str] | None = None,
        revision: str | None = None,
    ) -> "Index":
        """Reads the manifest and no more: shards are mapped, and the model is loaded, when they are first needed.

        Args:
            path: folder of the index, or its name on the Hub, from where it is fetched once; a folder goes first.
            encoder: the model that made it, or its folder or name on the Hub; None for the one the index names.
            revision: branch, tag or commit of an index on the Hub; None for main.

        Raises:
            FileNotFoundError: there is no index, neither here nor on the Hub.
            IndexFileError: a file of it is missing, cut short, damaged or of something else; names it.
            ModelMismatchError: `encoder` is another model than the one that made it, or its curvature another.
        """
        folder = index_folder(path, revision)
        manifest = Manifest.read(folder)
        if encoder is not None and not isinstance(encoder, str | os.PathLike):
            manifest.model.check(encoder, folder)
        return cls(folder, manifest, encoder)

    @staticmethod
    def create(
        path: str | os.PathLike[str],
        encoder: Encoder,
        dtype: str = "float32",
        thumbnails: int = 0,
        shard_rows: int = SHARD_ROWS,
    ) -> IndexWriter:
        """A new index to add to: `with Index.create(path, encoder) as writer: writer.add(images, ids=names)`.

        Args:
            path: a folder that is not there, or empty.
            encoder: the model.
            dtype: of the stored embeddings, "float32" or "float16".
            thumbnails: longest side in pixels of small pictures kept with the items; 0 for none.
            shard_rows: items in a shard.

        Raises:
            FileExistsError, IndexLockedError, ValueError: as `IndexWriter.create`.
        """
        return IndexWriter.create(path, encoder, dtype, thumbnails, shard_rows)

    @staticmethod
    def append(path: str | os.PathLike[str], encoder: Encoder, shard_rows: int = SHARD_ROWS) -> IndexWriter:
        """An index that is there, to add to.

        Raises:
            FileNotFoundError, IndexFileError, IndexLockedError, ModelMismatchError: as `IndexWriter.append`.
        """
        return IndexWriter.append(path, encoder, shard_rows)

    @property
    def curvature(self) -> float | None:
        """c > 0 of the space of curvature -c; None where it is not hyperbolic."""
        return self.manifest.model.curvature

    @cached_property
    def encoder(self) -> Encoder:
        """The model that made the index.

        Raises:
            FileNotFoundError, OSError: it cannot be found.
            ModelMismatchError: what is found is another one.
        """
        made, given = self.manifest.model, self._given
        if given is not None and not isinstance(given, str | os.PathLike):
            return given
        # the one place where retrieval asks for a model by name; its class stays unknown here
        from hf_hyperbolic.encoder import ImageEncoder

        try:
            encoder = ImageEncoder.from_pretrained(
                made.name if given is None else given, dtype=getattr(torch, made.dtype)
            )
        except OSError as error:
            if given is not None:
                raise
            raise FileNotFoundError(
                f"the model {made.name} that made {self.folder} cannot be loaded: give the place where it is now by "
                f"encoder= (--model): {error}"
            ) from error
        made.check(encoder, self.folder)
        return encoder

    def children(
        self,
        image: Query | None = None,
        k: int = 10,
        box: Box | None = None,
        where: Where | None = None,
        measure: str | None = None,
        text: str | None = None,
    ) -> Results:
        """What is inside this? The items that fit best as parts of an image, or of a box in it; or what a phrase names.

        Those compete of which the index knows that they are part of something, and those of which it knows nothing:
        not the scenes of a data set with boxes.

        Args:
            image: PIL image, path, row of the index, or (D,) embedding by its model.
            k: at most so many.
            box: x0 y0 x1 y1 in pixels of the image as shown; None for the whole image.
            where: column -> value or values that items must have: `{"class": "wheel", "level": [1, 2]}`. Columns are
                class, level (a number or "scene", "object", "part"), split, id and image.
            measure: by which to rank; default: the model's own.
            text: a phrase in place of an image, "a wheel": the items that it names are its children.

        Raises:
            BrokenImageError: the image cannot be read.
            ModelMismatchError: the model at hand is not the one that made the index.
            ValueError: k below 1, a box outside the image, or a column, class, ... that no item has; neither an image
                nor a text, or both; or a text to a model without a text tower.
        """
        return self._ask(image, k, box, where, measure, "children", text)

    def parents(
        self,
        image: Query | None = None,
        k: int = 10,
        box: Box | None = None,
        where: Where | None = None,
        measure: str | None = None,
        text: str | None = None,
    ) -> Results:
        """What is this a part of? The items that fit best as wholes around an image, a box in it, or what is named.

        Those compete of which the index knows that they contain something, and those of which it knows nothing; whole
        images of a data set always do. Not the item itself. Arguments and errors as `children`.
        """
        return self._ask(image, k, box, where, measure, "parents", text)

    def path(
        self,
        image: Query | None = None,
        steps: int = 50,
        box: Box | None = None,
        where: Where | None = None,
        text: str | None = None,
    ) -> Results:
        """What lies on the way from an image to the origin, where the most general things are?

        The geodesic from the embedding to the origin is walked in `steps` steps of equal length; at each the nearest
        item by hyperbolic distance is named, unless it was named before, as in the image traversals of MERU (Desai et
        al. 2023). Nearness, not angle: at a point of the way all that lies beyond it on the same ray fits perfectly as
        a part of it. The item itself and the origin are not named.

        Args:
            image: as `children`.
            steps: at least 2.
            box: as `children`.
            where: as `children`.
            text: as `children`.

        Returns:
            The items in the order they are met; `Found.at` is the share of the way, `score` minus the distance from it.

        Raises:
            ValueError: the index is not of a hyperbolic model; else as `children`.
        """
        if self.curvature is None:
            raise ValueError(f"{self.folder} is of a model without curvature: in its space nothing lies on the way")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        self._competing.rows(where, None)  # as `_ask`
        query, itself = self._query(image, box, text)
        points = lorentz.geodesic_to_origin(torch.from_numpy(query[0]), steps, self.curvature)[:-1]
        rows, scores, candidates = self._best(points, 1 + len(itself), "distance", "parents", where, None, itself)
        met: dict[int, tuple[float, float]] = {}
        for step in range(len(points) if rows.shape[1] else 0):
            others = [place for place in range(rows.shape[1]) if rows[step, place] not in itself]
            if others and int(rows[step, others[0]]) not in met:
                met[int(rows[step, others[0]])] = float(scores[step, others[0]]), step / (steps - 1)
        chosen = list(met)
        found = self._found(chosen, [met[row][0] for row in chosen], [met[row][1] for row in chosen])
        return Results(found, "distance", "path", candidates)

    def embed(self, image: Query | None = None, box: Box | None = None, text: str | None = None) -> np.ndarray:
        """(1, D) embedding of a query by the index's model, to be asked elsewhere: in `search`, or in Qdrant.

        Arguments and errors as `children`.
        """
        return self._query(image, box, text)[0]

    def search(
        self,
        embeddings: np.ndarray | torch.Tensor,
        k: int = 10,
        measure: str | None = None,
        direction: str = "children",
        where: Where | None = None,
    ) -> list[Results]:
        """The best items for each of (Q, D) embeddings of the index's model; all items compete, by `where`.

        Args:
            embeddings: of queries.
            k: at most so many for each.
            measure: one of `hf_hyperbolic.retrieval.MEASURES`; default: the model's for this direction.
            direction: "children" where the queries are wholes, "parents" where they are parts.
            where: as `children`.

        Raises:
            ValueError: k below 1, an unknown measure, direction, column or class, another dimension than the index's,
                or embeddings with NaN.
        """
        queries = torch.as_tensor(embeddings)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"embeddings have shape {tuple(queries.shape)}, expected (n, {self.dim}) of the index")
        measure = measure or self._measure(direction)
        rows, scores, candidates = self._best(queries, k, measure, direction, where, None)
        return [
            Results(self._found(rows[query].tolist(), scores[query].tolist()), measure, direction, candidates)
            for query in range(len(queries))
        ]

    def _ask(
        self,
        image: Query | None,
        k: int,
        box: Box | None,
        where: Where | None,
        measure: str | None,
        direction: str,
        text: str | None,
    ) -> Results:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        measure = measure or self._measure(direction)
        flag = _FLAGS[direction]
        self._competing.rows(where, flag)  # a wrong filter is an error before the model is loaded
        query, itself = self._query(image, box, text)
        asked = torch.from_numpy(query)
        rows, scores, candidates = self._best(asked, k + len(itself), measure, direction, where, flag, itself)
        kept = [place for place, row in enumerate(rows[0].tolist()) if row not in itself][:k]
        found = self._found(rows[0, kept].tolist(), scores[0, kept].tolist())
        return Results(found, measure, direction, candidates)

    def _query(self, image: Query | None, box: Box | None, text: str | None) -> tuple[np.ndarray, set[int]]:
        """(1, D) embedding, and the rows that are the query itself."""
        if (image is None) == (text is None):
            raise ValueError("ask by an image or by a text, one of the two")
        if text is not None:
            return self._phrase(text, box), set()
        assert image is not None
        if isinstance(image, int | np.integer):
            if box is not None:
                raise ValueError("box is of an image; a row of the index has its own")
            return self.embeddings([int(image)]), {int(image)}
        if isinstance(image, np.ndarray):
            if box is not None:
                raise ValueError("box is of an image; an embedding is of one box or one image already")
            if image.shape != (self.dim,):
                raise ValueError(f"the embedding has shape {image.shape}, expected ({self.dim},) of the index")
            return image[None].astype(np.float32), set()
        if isinstance(image, Image.Image):
            file = getattr(image, "filename", "")
        else:
            file = os.fspath(image)
            image = decode(file)
        embedding = self.encoder.encode([image], [box])
        check_finite(embedding, [file or "the image"])
        return embedding, self.rows_of(os.path.abspath(file), box) if file else set()

    def _phrase(self, text: str, box: Box | None) -> np.ndarray:
        """(1, D) embedding of a phrase."""
        if box is not None:
            raise ValueError("box is of an image; a text has none")
        encoder = self.encoder
        if not isinstance(encoder, TextEncoder):
            raise ValueError(f"the model {encoder.name} takes no text: ask by an image")
        embedding = encoder.encode_text([text])
        check_finite(embedding, [repr(text)])
        return embedding

    def _best(
        self,
        queries: torch.Tensor,
        k: int,
        measure: str,
        direction: str,
        where: Where | None,
        flag: str | None,
        itself: Collection[int] = (),
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """(Q, m) rows and scores, best first, ties to the lower row, and how many items competed beside `itself`."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        competing_rows = self._competing.rows(where, flag)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        candidates = 0
        if not self.manifest.shards:
            # so that a wrong measure or direction is an error in an empty index too
            search(queries, queries[:0], k, measure, direction, self.curvature)
        for number, first in enumerate(self.first[:-1].tolist()):
            shard = self.shard(number)
            competing = competing_rows[number]
            candidates += len(shard.items) if competing is None else len(competing)
            own = [row - first for row in itself if first <= row < first + len(shard.items)]
            candidates -= len(own) if competing is None else int(np.isin(own, competing).sum())
            here = search(queries, shard.embeddings, k, measure, direction, self.curvature, rows=competing)
            rows = np.concatenate([rows, np.asarray(here.indices) + first], axis=1)
            scores = np.concatenate([scores, np.asarray(here.scores)], axis=1)
            # stable: of equal scores the lower row stays first
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            rows, scores = np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)
        return rows, scores, candidates

    def _found(self, rows: Sequence[int], scores: Sequence[float], at: Sequence[float] | None = None) -> list[Found]:
        return [
            Found(
                score,
                row,
                item["id"],
                item["label"],
                item["image"],
                tuple(item["box"]) if item["box"] else None,
                item["level"],
                item["split"],
                item["parent"],
                at[place] if at is not None else None,
            )
            for place, (row, score, item) in enumerate(zip(rows, scores, self.items(rows), strict=True))
        ]

    def _measure(self, direction: str) -> str:
        if direction not in _FLAGS:
            raise ValueError(f"unknown direction {direction!r}: choose one of {', '.join(_FLAGS)}")
        return self.manifest.model.measures[direction]

    def __repr__(self) -> str:
        model, unfinished = self.manifest.model, self.manifest.unfinished
        space = "compared by cosine" if model.curvature is None else f"curvature -{model.curvature:.4g}"
        state = f", unfinished: {unfinished.images_done} of {unfinished.images} images" if unfinished else ""
        return f"Index({str(self.folder)!r}, {len(self):,} items, {space}, of {model.name}{state})"
