"""The module by which sentence-transformers embeds images and ranks them. Travels with an export."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from sentence_transformers.base.modules import InputModule
from torch import Tensor
from transformers import AutoImageProcessor
from transformers.image_utils import load_image

from .modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from .ranking_scores import score_matrix, score_rows

_DIRECTIONS = ("children", "parents")


class HyperbolicImageModule(InputModule):
    """Images -> embeddings, and the score by which the model ranks.

    It is the first and only module of a `SentenceTransformer`, whose `similarity` and `similarity_pairwise` become
    those of this module: sentence-transformers knows four symmetric functions by name, and a whole and its part are no
    symmetric matter.

    Attributes:
        model: in evaluation mode.
        processor: the image processor saved beside it.
        measures: `{"children": measure, "parents": measure}`, by which the model ranks in either direction; may be
            changed, to "cosine" for instance. See `hf_hyperbolic.retrieval.scores` for what each means.
        direction: "children" where the first argument of `similarity` holds wholes and the second what may be inside
            them, "parents" where it is the other way round; may be changed.
    """

    config_file_name = "hyperbolic_retrieval.json"
    config_keys = ["measures", "direction"]  # noqa: RUF012
    save_in_root = True

    def __init__(
        self,
        model: HyperbolicCLIPVisionModel,
        processor: Any,
        measures: Mapping[str, str],
        direction: str = "children",
    ) -> None:
        super().__init__()
        self.model, self.processor = model.eval(), processor
        self.measures, self.direction = dict(measures), direction

    @property
    def modalities(self) -> Any:
        return ["image"]

    def get_embedding_dimension(self) -> int:
        return int(self.model.config.projection_dim)

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """PIL images, paths or addresses of images, or (H, W, 3) uint8 arrays -> what `forward` takes.

        Raises:
            ValueError: an input is none of these, or there is a prompt.
        """
        if prompt:
            raise ValueError("this model embeds images: it takes no prompt")
        return dict(self.processor([_image(given) for given in inputs], return_tensors="pt"))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Adds `sentence_embedding`, (B, D) space components."""
        embeds = self.model(pixel_values=features["pixel_values"]).embeds
        return {**features, "sentence_embedding": embeds}

    def similarity(self, queries: Any, gallery: Any, direction: str | None = None) -> Tensor:
        """Scores of every gallery item for every query by the model's own measure, larger is better.

        Args:
            queries: (Q, D) or (D,) embeddings.
            gallery: (G, D) or (D,) embeddings.
            direction: "children" where queries are wholes, "parents" where they are parts; default: `self.direction`.

        Returns:
            (Q, G) float32.

        Raises:
            ValueError: an unknown direction.
        """
        # some measures are computed the other way round, and what writes arrays to files may not look at strides
        return score_matrix(*self._scored(queries, gallery, direction)).contiguous()

    def similarity_pairwise(self, queries: Any, items: Any, direction: str | None = None) -> Tensor:
        """(n, D) queries and (n, D) items -> (n,) scores of every query for the item in its row."""
        return score_rows(*self._scored(queries, items, direction))

    def _scored(self, queries: Any, gallery: Any, direction: str | None) -> tuple[Any, ...]:
        direction = direction or self.direction
        if direction not in _DIRECTIONS:
            raise ValueError(f"unknown direction {direction!r}: choose 'children' (queries are wholes) or 'parents'")
        curvature = self.model.curvature.item() if self.model.config.geometry == "lorentz" else None
        first, second = _rows(queries), _rows(gallery)
        return first, second.to(first.device), self.measures[direction], direction, curvature

    def on_model_ready(self, model: Any) -> None:
        """Called by sentence-transformers when `model` is complete: gives it this module's scores."""
        model.similarity, model.similarity_pairwise = self.similarity, self.similarity_pairwise

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Writes weights (safetensors always), configuration, image processor, measures and direction."""
        self.model.save_pretrained(output_path)
        self.processor.save_pretrained(output_path)
        self.save_config(output_path)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> "HyperbolicImageModule":
        """Loads what `save` wrote, from a folder or the Hub; `model_kwargs` go to the model's `from_pretrained`."""
        hub: dict[str, Any] = {"token": token, "revision": revision, "local_files_only": local_files_only}
        settings = cls.load_config(model_name_or_path, subfolder=subfolder, cache_folder=cache_folder, **hub)
        hub |= {"cache_dir": cache_folder, "subfolder": subfolder}
        given = {name: value for name, value in hub.items() if value}
        loading = {"use_safetensors": True, **(kwargs.get("model_kwargs") or {})}
        model = HyperbolicCLIPVisionModel.from_pretrained(model_name_or_path, **given, **loading)
        processor = AutoImageProcessor.from_pretrained(
            model_name_or_path, **given, **(kwargs.get("processor_kwargs") or {})
        )
        return cls(model, processor, **{**(init_defaults or {}), **settings})


def _image(given: Any) -> Image.Image:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 3:
        return Image.fromarray(given)
    if isinstance(given, Image.Image | str | os.PathLike):
        loaded: Image.Image = load_image(os.fspath(given) if isinstance(given, os.PathLike) else given)
        return loaded
    raise ValueError(
        f"{type(given).__name__} is no image: give PIL images, paths or addresses of images, or (H, W, 3) uint8 arrays"
    )


def _rows(embeddings: Any) -> Tensor:
    """(n, D) rows of a tensor, an array, or a list of either."""
    if isinstance(embeddings, list | tuple):
        embeddings = torch.stack([torch.as_tensor(row) for row in embeddings])
    rows = torch.as_tensor(embeddings)
    return rows if rows.ndim == 2 else rows[None]
