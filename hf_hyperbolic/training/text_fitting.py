"""A frozen image encoder's embeddings, and batches of them with what their classes are called."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import drop_broken
from hf_hyperbolic.data.relations import RelationIndex
from hf_hyperbolic.evaluation.nodes import active_boxes, scenes
from hf_hyperbolic.modeling_hyperbolic_clip_text import HyperbolicCLIPModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.class_phrases import ClassPhrases
from hf_hyperbolic.training.sources import Split, hierarchy_for, load_split


@dataclass(frozen=True)
class NameBatch:
    """Nodes, and phrases for the classes of the boxes among them.

    Attributes:
        nodes: (n,) int64, scenes first.
        phrases: (T,) one for what each box of the batch is called.
        categories: (n, T) bool, see `name_loss`.
        scenes: (n,) bool.
    """

    nodes: np.ndarray
    phrases: list[str]
    categories: torch.Tensor
    scenes: torch.Tensor


def load_sound_split(args: TrainArguments, data: str, images: int) -> Split:
    """The first images of a training split, those that are broken left out: all nodes will be embedded.

    Raises:
        FileNotFoundError, ValueError: see `load_split`; or there is no box in them.
    """
    split = load_split(args, "train", data, first=images)
    if data != "scenes":
        table = drop_broken(split.table, max(1, args.num_workers), split.load)
        split = replace(split, table=table, hierarchy=hierarchy_for(table, args, split.exported))
    if not len(active_boxes(split.hierarchy)):
        raise ValueError(f"{data}: the first {images} training images hold no box, so there is nothing to name")
    return split


def name_batches(
    hierarchy: Hierarchy, phrases: ClassPhrases, steps: int, boxes: int, full_scenes: int, seed: int
) -> Iterator[NameBatch]:
    """Batches that are a function of (seed, step): boxes of all classes alike, and any scenes.

    Args:
        hierarchy: of the split.
        phrases: of its classes.
        steps: how many batches.
        boxes: in each; drawn with replacement, a class first and then a box of it.
        full_scenes: in each, without replacement; all where there are fewer.
        seed: of the draws.
    """
    relations = RelationIndex(hierarchy, "none")
    every = active_boxes(hierarchy)
    order = every[np.argsort(hierarchy.node_label[every], kind="stable")]
    classes, first, count = np.unique(hierarchy.node_label[order], return_index=True, return_counts=True)
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(classes), size=boxes)
        drawn = order[first[chosen] + (rng.random(boxes) * count[chosen]).astype(np.int64)]
        # a box twice would be its own near-duplicate
        drawn = np.unique(drawn)
        of_scenes = rng.permutation(scenes(hierarchy))[:full_scenes]
        nodes = np.concatenate([of_scenes, drawn])
        named = np.unique(phrases.called[hierarchy.node_label[drawn]])
        categories = phrases.of_called(relations.sparse(nodes).categories)[:, torch.from_numpy(named)]
        is_scene = torch.from_numpy(hierarchy.node_label[nodes] == -1)
        yield NameBatch(nodes, phrases.draw(named, rng), categories, is_scene)


def text_parameter_groups(
    model: HyperbolicCLIPModel, learning_rate: float, backbone_learning_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """The text tower's parameters for an optimiser, made trainable; matrices alone decay.

    Args:
        model: whose image encoder is to stay as it is.
        learning_rate: peak of projection and alpha.
        backbone_learning_rate: peak of the text encoder.
        weight_decay: of AdamW.

    Returns:
        Groups, each with its `peak`.
    """
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.text_parameters().items():
        parameter.requires_grad_(True)
        groups.setdefault((name.startswith("text_backbone."), parameter.ndim >= 2), []).append(parameter)
    return [
        {
            "params": parameters,
            "peak": backbone_learning_rate if in_backbone else learning_rate,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]
