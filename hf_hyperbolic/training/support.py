"""The support of a zero-shot evaluation, loaded from another split: only what is drawn is decoded."""

from pathlib import Path

import numpy as np

from hf_hyperbolic.data.boxes import drop_images
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.data.image_reader import find_broken
from hf_hyperbolic.evaluation.zero_shot_task import Support, draw_support
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import Split, hierarchy_for, load_split


def load_support(
    args: TrainArguments,
    split: str,
    data: str,
    evaluated: Hierarchy,
    shots: int | None,
    draws: int,
    seed: int = 0,
    format: str = "auto",
    image_folder: str | None = None,
) -> tuple[Split, Support]:
    """Draws boxes of every class from a split and drops images that cannot be read, drawing again without them.

    Args:
        args: data settings.
        split: of the support.
        data: data set, the same as is evaluated.
        evaluated: the evaluated split.
        shots: most boxes of a class in a draw; None for all.
        draws: how many.
        seed: of the draws.
        format: of the data.
        image_folder: where the images lie, if not with the annotations.

    Returns:
        The split, and which of its boxes to embed.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: no image of it can be used, or it shares no class with the evaluated one.
    """
    if Path(data).is_file():
        raise ValueError(f"{data} is one file, one split: zero-shot evaluation needs another split for its prototypes")
    found = load_split(args, split, data, check=False, format=format, image_folder=image_folder)
    sound = np.zeros(found.table.num_images, dtype=bool)
    while True:
        support = draw_support(found.hierarchy, evaluated, shots, draws, seed)
        fresh = np.setdiff1d(found.hierarchy.node_image[support.nodes], np.flatnonzero(sound))
        if not len(fresh):
            return found, support
        others = np.setdiff1d(np.arange(found.table.num_images), fresh)
        problems = find_broken(drop_images(found.table, others, []), max(1, args.num_workers), found.load)
        files = {problem.where for problem in problems}
        broken = [image for image in fresh if str(found.table.image_files[image]) in files]
        sound[fresh] = True
        if broken:
            table = drop_images(found.table, broken, problems)
            sound = np.delete(sound, broken)
            hierarchy = hierarchy_for(table, args, found.exported)
            found = Split(table, hierarchy, found.load, found.exported)
