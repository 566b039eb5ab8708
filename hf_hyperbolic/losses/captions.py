"""Captions beside images: what is said of an image entails the image (Desai et al. 2023, MERU)."""

from torch import Tensor

from hf_hyperbolic.losses.entailment_contrast import entailment_contrast
from hf_hyperbolic.losses.info_nce import LossOutput


def caption_loss(
    captions: Tensor,
    images: Tensor,
    positives: Tensor,
    curvature: Tensor | float,
    temperature: Tensor | float,
    geometry: str = "lorentz",
    similarity_weight: float = 2.0,
    similarity_temperature: Tensor | float = 0.07,
) -> LossOutput:
    """InfoNCE between captions and images, on the angle at the caption and on cosines, in both directions.

    The caption is the parent and its image the child; other images are negatives of it, and other captions of the
    image. It is the objective of `name_loss`: MERU contrasts distances and adds a cone, we contrast the angle itself.

    Args:
        captions: (T, D) space components of the captions' embeddings.
        images: (N, D) space components of full scenes.
        positives: (T, N) bool, which caption is of which image; of the same words said of two images, both.
        curvature: c of the hyperboloid of curvature -c; not used when `geometry` is `"euclidean"`.
        temperature: tau of the angles, positive.
        geometry: `"lorentz"` or `"euclidean"`.
        similarity_weight: of the cosines; 0 for angles alone.
        similarity_temperature: tau of the cosines.

    Returns:
        The loss, its part from captions to images, and from images to captions.

    Raises:
        ValueError: an unknown geometry, or positives of another shape.
    """
    if positives.shape != (len(captions), len(images)):
        raise ValueError(
            f"positives has shape {tuple(positives.shape)}, expected ({len(captions)}, {len(images)}): captions by "
            "images"
        )
    down, up = entailment_contrast(
        captions, images, positives, curvature, temperature, geometry, similarity_weight, similarity_temperature
    )
    return LossOutput(down + up, down, up)
