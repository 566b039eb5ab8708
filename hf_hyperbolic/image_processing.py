"""The image processor saved beside a model."""

from collections.abc import Sequence

from transformers import CLIPImageProcessorPil
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD


def make_image_processor(
    size: int = 224, mean: Sequence[float] = OPENAI_CLIP_MEAN, std: Sequence[float] = OPENAI_CLIP_STD
) -> CLIPImageProcessorPil:
    """A CLIP image processor that resizes the whole image to a square, cutting nothing off.

    CLIP's own settings crop the centre, which loses the very parts that a hierarchy is about. The resize is bicubic and
    does not keep the aspect ratio, as for the crops seen in training.

    Args:
        size: side of the square in pixels.
        mean: three channel means, for values in [0, 1].
        std: three channel standard deviations.

    Returns:
        The processor; `save_pretrained` writes it beside the model, where `AutoImageProcessor` finds it.

    Raises:
        ValueError: `size` is not positive, or `mean` or `std` has not three values.
    """
    if size < 1:
        raise ValueError(f"size must be a positive number of pixels, got {size}")
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != 3:
            raise ValueError(f"{name} must have one value for each of the three channels, got {list(values)}")
    square = {"height": size, "width": size}
    return CLIPImageProcessorPil(
        do_resize=True,
        size=square,
        do_center_crop=False,
        crop_size=square,
        image_mean=list(mean),
        image_std=list(std),
    )
