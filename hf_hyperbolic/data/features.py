"""The columns of a data set whose rows are images with the hierarchy of their boxes."""

from collections.abc import Sequence

from datasets import ClassLabel, Features, Image, List, Value


def hierarchy_features(class_names: Sequence[str], federated: bool = False) -> Features:
    """One row an image. Nodes are numbered within the row: 0 is the full scene, 1 + b is box b.

    - `image`: the file as bytes; decoded to a PIL image on access.
    - `image_id`: text, unique in its split.
    - `width`, `height`: pixels as shown.
    - `boxes`: (B, 4) x0 y0 x1 y1 in pixels as shown.
    - `labels`: (B,) classes.
    - `levels`: (B,) length of the longest direct path from the scene, at least 1 (0 for a scene duplicate).
    - `is_scene_duplicate`: (B,) the box is the whole image; it stands in no pair.
    - `direct`: (E, 2) parent and child, the transitive reduction.
    - `ancestry`: (P, 2) ancestor and descendant at any distance.

    Args:
        class_names: names of the classes.
        federated: not every class was looked for in every image, which two more columns tell: `verified_absent`,
            classes that are known not to be there, and `not_exhaustive`, classes of which not every instance has a box.
    """
    label = ClassLabel(names=list(class_names))
    pairs = List(List(Value("int32"), length=2))
    columns = {
        "image": Image(),
        "image_id": Value("string"),
        "width": Value("int32"),
        "height": Value("int32"),
        "boxes": List(List(Value("float32"), length=4)),
        "labels": List(label),
        "levels": List(Value("int32")),
        "is_scene_duplicate": List(Value("bool")),
        "direct": pairs,
        "ancestry": pairs,
    }
    if federated:
        columns |= {"verified_absent": List(label), "not_exhaustive": List(label)}
    return Features(columns)
