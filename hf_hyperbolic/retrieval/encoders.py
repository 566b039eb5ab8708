"""What retrieval asks of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

Box = Sequence[float] | np.ndarray


class Encoder(Protocol):
    """Turns images into embeddings; `hf_hyperbolic.encoder.ImageEncoder` is one.

    Attributes:
        name: by which it can be loaded again.
        dim: D, dimension of its embeddings.
        curvature: c > 0 of the space of curvature -c; None where that is not hyperbolic.
        dtype: it computes in, `"float32"` or another.
        fingerprint: equal for two encoders whose embeddings may be compared.
        measures: `{"children": measure, "parents": measure}`, by which it ranks.
        preprocessing: how it looks at images, in plain values; `image_size`, `context` and `crop_mode` are needed to
            cut boxes.
    """

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def curvature(self) -> float | None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def measures(self) -> Mapping[str, str]: ...
    @property
    def preprocessing(self) -> dict[str, Any]: ...

    def encode(
        self, images: Sequence[Image.Image], boxes: Sequence[Box | None] | None = None, batch_size: int = 256
    ) -> np.ndarray:
        """Images, or a box of each -> (n, D) float32 embeddings, for a hyperbolic model space components."""

    def encode_crops(self, crops: np.ndarray, batch_size: int = 256) -> np.ndarray:
        """(n, size, size, 3) uint8 crops -> (n, D) float32 embeddings."""


@runtime_checkable
class TextEncoder(Protocol):
    """What retrieval asks of a model beside, where a query is a phrase."""

    def encode_text(self, phrases: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Phrases -> (n, D) float32 embeddings of the same space; ValueError where the model has no text tower."""
