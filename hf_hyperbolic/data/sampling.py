"""Rare classes drawn more often: how likely an image, and a box of it, are to be in a batch.

Two rules of the field meet in one exponent t. Exponential smoothing (Conneau & Lample 2019; XLM-R and mT5 draw
languages so) draws class c, of n_c examples, with probability proportional to n_c^t: t = 1 is the data's own frequency,
t = 0 draws every class alike. It presumes that an example has one class. A box has one; an image has many, and for
images the detection field has repeat-factor sampling (Gupta, Dollar & Girshick 2019, LVIS): an image is repeated as its
rarest class demands, the maximum over its classes of max(1, sqrt(threshold / f_c)), f_c being the share of the images
that hold c. So here

- a box of class c has weight n_c^(t - 1), n_c counting boxes; drawn among all boxes, its class has probability
  proportional to n_c^t;
- an image has weight max over its classes c of n_c^(t - 1), n_c counting images. Where images hold one class each, this
  too draws class c in proportion to n_c^t. The exponent t = 1/2 is the square root of repeat factors; there is no
  threshold, since a constant factor cancels in a probability and no class is exempt from smoothing.

The sum over an image's classes in place of the maximum would draw crowded images more often even at t = 1.
"""

import numpy as np

from hf_hyperbolic.data.hierarchy import Hierarchy


def images_per_class(hierarchy: Hierarchy) -> np.ndarray:
    """(C,) int64: images whose tree holds a box of each class."""
    boxes = np.flatnonzero(hierarchy.active() & (hierarchy.node_label >= 0))
    classes = hierarchy.num_classes
    pairs = np.unique(hierarchy.node_image[boxes].astype(np.int64) * classes + hierarchy.node_label[boxes])
    return np.bincount(pairs % classes, minlength=classes) if classes else np.zeros(0, dtype=np.int64)


def log_class_weights(counts: np.ndarray, exponent: float) -> np.ndarray:
    """(C,) counts n_c -> (C,) float64 `log n_c^(exponent - 1)`; 0 for a class without examples, which is never drawn.

    Args:
        counts: examples of each class.
        exponent: t in [0, 1].
    """
    return (exponent - 1) * np.log(np.maximum(counts, 1))


def log_image_weights(hierarchy: Hierarchy, boxes: np.ndarray, first: np.ndarray, exponent: float) -> np.ndarray:
    """Log weight of each image: that of its rarest class (see the module's docstring).

    Args:
        hierarchy: the split.
        boxes: (B,) box nodes, those of an image together.
        first: (I,) where each image's boxes begin in `boxes`; every image has at least one.
        exponent: t in [0, 1].

    Returns:
        (I,) float64, the largest 0.
    """
    by_class = log_class_weights(images_per_class(hierarchy), exponent)
    found = np.maximum.reduceat(by_class[hierarchy.node_label[boxes]], first)
    return found - found.max()


def log_box_weights(hierarchy: Hierarchy, boxes: np.ndarray, exponent: float) -> np.ndarray:
    """Log weight of each of (B,) box nodes: (B,) float64 `log n_c^(exponent - 1)`, n_c counting boxes of its class."""
    labels = hierarchy.node_label[boxes]
    return log_class_weights(np.bincount(labels, minlength=hierarchy.num_classes), exponent)[labels]


def top_by_gumbel(log_weights: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k different places, drawn one after the other in proportion to the weights that are left, in that order.

    Adding Gumbel noise to the logarithms and keeping the largest is such a draw (Kool, van Hoof & Welling 2019,
    "Stochastic beams and where to find them").

    Args:
        log_weights: (n,), k <= n.
        k: how many.
        rng: source of the noise.

    Returns:
        (k,) int64.
    """
    return np.argsort(-(log_weights + rng.gumbel(size=len(log_weights))), kind="stable")[:k]


def draw_distinct(cumulative: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The same draw as `top_by_gumbel`, in k log n steps rather than n: for k far below n.

    Places are drawn with replacement and repeats dropped, which leaves the order and the odds of a draw without
    replacement. Should a few heavy places take nearly all of 4 k draws, the Gumbel draw among the rest completes it:
    what is left to draw does not depend on how often the heavy ones came back.

    Args:
        cumulative: (n,) cumulative sums of weights, k <= n.
        k: how many.
        rng: source of the draws.

    Returns:
        (k,) int64.
    """
    drawn = np.searchsorted(cumulative, rng.random(4 * k) * cumulative[-1], side="right")
    drawn = np.minimum(drawn, len(cumulative) - 1)  # a product that rounds up to the sum lies beyond the last
    _, order = np.unique(drawn, return_index=True)
    found = drawn[np.sort(order)][:k]
    if len(found) == k:
        return found
    rest = np.setdiff1d(np.arange(len(cumulative)), found)
    with np.errstate(divide="ignore"):
        log_weights = np.log(np.diff(cumulative, prepend=0.0)[rest])
    return np.concatenate([found, rest[top_by_gumbel(log_weights, k - len(found), rng)]])
