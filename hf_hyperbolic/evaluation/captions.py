"""Captions: does a caption find its image among all, and an image one of its captions?

The protocol is that of COCO's captions in the literature (Karpathy and Fei-Fei 2015; MERU, Desai et al. 2023):
Recall@k is the share of queries that have one of their own among the first k. The caption is the more general side and
the parent of its image, so that text -> image ranks children and image -> text parents.

Intervals are over images, drawn with all their captions: those of one image are not independent. Chance is exact, the
expectation of a random ranking. The ceiling is what rankings reach that know each query's own and yet cannot tell
captions of the same words apart.
"""

from collections.abc import Sequence
from math import comb

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.figures import Figure, mean_figures
from hf_hyperbolic.evaluation.nodes import scenes, tiles
from hf_hyperbolic.evaluation.ranking import top_k
from hf_hyperbolic.evaluation.scorer import applicable_measures, is_hyperbolic
from hf_hyperbolic.retrieval.measures import scores

KS = (1, 5, 10)
# figure -> level of a random ranking, and of the best there can be
Levels = tuple[dict[str, float], dict[str, float]]


def evaluate_captions(
    embeds: torch.Tensor | np.ndarray,
    hierarchy: Hierarchy,
    texts: Sequence[str],
    caption_embeds: torch.Tensor | np.ndarray,
    caption_image: np.ndarray,
    curvature: float | None,
    measures: Sequence[str] | None = None,
    ks: Sequence[int] = KS,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[dict[str, dict[str, Figure]], dict[str, np.ndarray]]:
    """Retrieval of images by captions, and of captions by images.

    Captions rank all images of the split, images all captions. An image without a caption is no query.

    Args:
        embeds: (N, D) embeddings of the split, one row a node.
        hierarchy: the split.
        texts: (T,) captions; those of the same words have the same embedding.
        caption_embeds: (T, D) embeddings of them, by the same model.
        caption_image: (T,) image that each is of, in [0, I).
        curvature: c of the hyperboloid of curvature -c; None or 0 for a Euclidean model.
        measures: names of `retrieval.measures.MEASURES`; when None all that apply.
        ks: cut-offs, each at least 1.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        measure -> `images_recall@k` (text -> image) and `captions_recall@k` (image -> text) for each k -> `value`,
        `low`, `high`, `chance`, `ceiling`; and `"captions/<measure>/<figure>"` -> values of the queries, captions in
        the order given, images by their number.

    Raises:
        ValueError: embeddings do not fit, there is no caption, or one is of no image of the split.
    """
    vectors, asked = (torch.as_tensor(part).detach().float() for part in (embeds, caption_embeds))
    owner = np.asarray(caption_image, dtype=np.int64)
    if len(vectors) != hierarchy.num_nodes or not len(texts) == len(asked) == len(owner):
        raise ValueError(
            f"embeds {tuple(vectors.shape)} must have one row for each of {hierarchy.num_nodes} nodes, and "
            f"caption_embeds {tuple(asked.shape)} and caption_image {owner.shape} one for each of {len(texts)} captions"
        )
    if not len(texts):
        raise ValueError("there is no caption to ask by")
    if not 0 <= owner.min() <= owner.max() < hierarchy.num_images:
        raise ValueError(f"caption_image must lie in [0, {hierarchy.num_images}), the images of the split")
    c = curvature if is_hyperbolic(curvature) else None
    chosen = tuple(measures) if measures is not None else applicable_measures(curvature)
    images = vectors[torch.from_numpy(scenes(hierarchy))]
    # captions of the same words are scored once, so that they tie to the last bit
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    words = np.array([number_of[text] for text in texts])
    _, first = np.unique(words, return_index=True)
    distinct, having = asked[torch.from_numpy(first)], np.unique(owner)
    galleries: dict[str, tuple[dict[str, np.ndarray], Levels, np.ndarray | None]] = {
        "images": ({}, _levels_of_images(words, owner, hierarchy.num_images, ks), owner),
        "captions": ({}, _levels_of_captions(words, owner, ks), None),
    }
    for measure in chosen:
        order = torch.cat(
            [
                top_k(scores(distinct[tile], images, measure, "children", curvature=c), max(ks))
                for tile in tiles(len(distinct), len(images))
            ]
        ).numpy()
        galleries["images"][0][measure] = _first(order[words] == owner[:, None])
        asking, places = images[torch.from_numpy(having)], []
        for tile in tiles(len(having), len(texts)):
            found = scores(asking[tile], distinct, measure, "parents", curvature=c)[:, torch.from_numpy(words)]
            places.append(_first(owner[top_k(found, max(ks)).numpy()] == having[tile, None]))
        galleries["captions"][0][measure] = np.concatenate(places)
    table: dict[str, dict[str, Figure]] = {measure: {} for measure in chosen}
    per_query: dict[str, np.ndarray] = {}
    for gallery, (first_own, levels, groups) in galleries.items():
        values = {
            measure: {f"recall@{k}": (place < k).astype(np.float64) for k in ks} for measure, place in first_own.items()
        }
        for measure, figures in mean_figures(values, *levels, resamples, seed, groups).items():
            table[measure] |= {f"{gallery}_{name}": found for name, found in figures.items()}
            per_query |= {f"captions/{measure}/{gallery}_{name}": each for name, each in values[measure].items()}
    return table, per_query


def _first(own: np.ndarray) -> np.ndarray:
    """(Q, K) bool along a ranking -> (Q,) place of the first that is true, from 0; beyond all cut-offs for none."""
    return np.where(own.any(1), own.argmax(1), np.iinfo(np.int64).max)


def _levels_of_images(words: np.ndarray, owner: np.ndarray, images: int, ks: Sequence[int]) -> Levels:
    """Chance and ceiling of text -> image: captions of the same words all get the same ranking."""
    pairs, count = np.unique(np.stack([words, owner]), axis=1, return_counts=True)
    # of each wording the images that it stands under most often come first
    order = np.lexsort((-count, pairs[0]))
    place = np.arange(len(order)) - np.searchsorted(pairs[0], pairs[0])
    chance = {f"recall@{k}": min(k, images) / images for k in ks}
    return chance, {f"recall@{k}": float(count[order][place < k].sum() / len(owner)) for k in ks}


def _levels_of_captions(words: np.ndarray, owner: np.ndarray, ks: Sequence[int]) -> Levels:
    """Chance and ceiling of image -> text: of captions of the same words, which tie, the lower number comes first."""
    total = len(owner)
    _, own = np.unique(owner, return_counts=True)
    chance = {}
    for k in ks:
        every = comb(total, min(k, total))
        chance[f"recall@{k}"] = float(np.mean([1 - comb(total - each, min(k, total)) / every for each in own.tolist()]))
    order = np.argsort(words, kind="stable")
    place = np.empty(total, dtype=np.int64)
    place[order] = np.arange(total) - np.searchsorted(words[order], words[order])
    _, image = np.unique(owner, return_inverse=True)
    best = np.full(len(own), total)
    np.minimum.at(best, image, place)
    return chance, {f"recall@{k}": float((best < k).mean()) for k in ks}
