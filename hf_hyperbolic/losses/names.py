"""Names beside images: the name of a class entails its boxes, and a scene that holds one entails the name.

A name is more general than anything it names (Vendrov et al. 2016, Order-Embeddings of Images and Language; Desai et
al. 2023, MERU), so it is the parent of the boxes of its class. A scene holds whatever its boxes are, from whatever
image these come (arXiv 2411.17490), and so the names of its classes as well: they lie between the two. Objective and
ranking are those of images: the angle at the parent, and beside it cosine contrast.
"""

from torch import Tensor

from hf_hyperbolic.losses.entailment_contrast import entailment_contrast
from hf_hyperbolic.losses.info_nce import LossOutput


def name_loss(
    names: Tensor,
    embeds: Tensor,
    categories: Tensor,
    scenes: Tensor,
    curvature: Tensor | float,
    temperature: Tensor | float,
    geometry: str = "lorentz",
    similarity_weight: float = 2.0,
    similarity_temperature: Tensor | float = 0.07,
) -> LossOutput:
    """Multi-positive InfoNCE between names and a batch, on the angle at the parent and on cosines, in both directions.

    All boxes of a class are positives of its one name. What is not of the class is a negative, parts of it too: a name
    says what something is, not what holds it.

    Args:
        names: (T, D) space components of the names' embeddings.
        embeds: (N, D) space components of scenes and boxes.
        categories: (N, T) bool, of a scene the names of the classes that it holds, of a box its own.
        scenes: (N,) bool, which nodes are full scenes.
        curvature: c of the hyperboloid of curvature -c; not used when `geometry` is `"euclidean"`.
        temperature: tau of the angles, positive.
        geometry: `"lorentz"` or `"euclidean"`.
        similarity_weight: of the cosines; 0 for angles alone.
        similarity_temperature: tau of the cosines.

    Returns:
        The loss, its part from parents to children, and from children to parents.

    Raises:
        ValueError: an unknown geometry, or categories of another shape.
    """
    if categories.shape != (len(embeds), len(names)):
        raise ValueError(
            f"categories has shape {tuple(categories.shape)}, expected ({len(embeds)}, {len(names)}): nodes by names"
        )
    how = (curvature, temperature, geometry, similarity_weight, similarity_temperature)
    boxes = ~scenes
    of_boxes = entailment_contrast(names, embeds[boxes], categories[boxes].T, *how)
    of_scenes = entailment_contrast(embeds[scenes], names, categories[scenes], *how)
    down, up = of_boxes[0] + of_scenes[0], of_boxes[1] + of_scenes[1]
    return LossOutput(down + up, down, up)
