"""One of two processes of an evaluation, started by test_processes.py: writes what it found."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_per_query, nodes, save_per_query, zero_shot_judge
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot
from hf_hyperbolic.evaluation.zero_shot_task import draw_support

SETTINGS = EvaluationSettings(ks=(3, 0.5, 1.0), top_ks=(1, 10), resamples=20, max_pairs=200)
MEASURES = ("cosine", "beta", "alpha+centred", "distance+csls")


def random_hierarchy(seed: int, images: int = 12, boxes: int = 5) -> Hierarchy:
    rng = np.random.default_rng(seed)
    sides = rng.uniform(5, 90, size=(images * boxes, 2))
    corner = rng.random((images * boxes, 2)) * (100 - sides)
    names = np.array([f"image{i}" for i in range(images)])
    return build_hierarchy(
        BoxTable(
            image_ids=names,
            image_files=names,
            image_sizes=np.full((images, 2), 100, dtype=np.int32),
            box_image=np.repeat(np.arange(images), boxes).astype(np.int32),
            boxes=np.concatenate([corner, corner + sides], axis=1).astype(np.float32),
            labels=rng.integers(0, 6, images * boxes).astype(np.int32),
            class_names=tuple(f"class{c}" for c in range(6)),
        )
    )


def evaluate(folder: Path, name: str, distributed: bool) -> None:
    # a handful of queries a tile, so that there are tiles to share
    nodes.TILE_CELLS = 200
    hierarchy, train = random_hierarchy(0), random_hierarchy(1)
    embeds = np.random.default_rng(2).normal(size=(hierarchy.num_nodes, 24)).astype(np.float32)
    result, values = evaluate_per_query(
        embeds, hierarchy, 1.0, MEASURES, train, settings=SETTINGS, distributed=distributed
    )
    (folder / f"{name}.json").write_text(json.dumps(result))
    save_per_query(folder / f"{name}.npz", values)


def tell_classes(folder: Path, name: str, distributed: bool) -> None:
    """Zero-shot figures; `work` is how many classes this process has judged."""
    judged = []
    zero_shot_judge._CLASS_BLOCK = 2
    original = zero_shot_judge.class_detections
    zero_shot_judge.class_detections = lambda *given: judged.append(given[2]) or original(*given)
    try:
        evaluated, train = random_hierarchy(0), random_hierarchy(1, images=20)
        support = draw_support(train, evaluated, shots=3, draws=2)
        rng = np.random.default_rng(3)
        result, values = evaluate_zero_shot(
            rng.normal(size=(evaluated.num_nodes, 24)), evaluated, rng.normal(size=(len(support.nodes), 24)), support,
            1.0, resamples=20, map_resamples=10, distributed=distributed,
        )  # fmt: skip
    finally:
        zero_shot_judge.class_detections = original
    (folder / f"{name}-zero-shot.json").write_text(json.dumps({"result": result, "work": len(judged)}))
    save_per_query(folder / f"{name}-zero-shot.npz", values)


def fail_on_one(folder: Path) -> None:
    """A score that is NaN in the tiles of the second process only."""
    from hf_hyperbolic.evaluation import parent_to_child
    from hf_hyperbolic.evaluation.processes import Processes

    nodes.TILE_CELLS = 60
    task = parent_to_child.prepare(random_hierarchy(0))
    last = task.queries[-1]

    def scorer(queries: np.ndarray, gallery: np.ndarray, direction: str) -> torch.Tensor:
        scores = torch.zeros(len(queries), len(gallery))
        scores[torch.from_numpy(queries == last)] = torch.nan
        return scores

    try:
        parent_to_child.per_query(task, scorer, processes=Processes.of_group())
    except (ValueError, RuntimeError) as error:
        (folder / f"failed{dist.get_rank()}.txt").write_text(str(error))


def fail_unsendably(folder: Path) -> None:
    """An error on the second process that cannot be pickled."""
    from hf_hyperbolic.evaluation.processes import Processes, map_shared

    def fail(item: int) -> int:
        if item:
            raise ValueError(threading.Lock())
        return item

    try:
        map_shared(fail, [0, 1], Processes.of_group())
    except (ValueError, RuntimeError) as error:
        (folder / f"unsendable{dist.get_rank()}.txt").write_text(f"{type(error).__name__}: {error}")


def main() -> None:
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    evaluate(folder, f"rank{dist.get_rank()}", distributed=True)
    tell_classes(folder, f"rank{dist.get_rank()}", distributed=True)
    fail_on_one(folder)
    fail_unsendably(folder)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
