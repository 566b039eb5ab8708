"""Train several systems with the same backbone, pairs and budget, over several seeds, and print them side by side.

    python training/compare.py --output_dir outputs/compare --seeds 0 1 2
    python training/compare.py --output_dir outputs/ccp training/configs/photographs.yaml --data PATH
    python training/compare.py --systems "hyperbolic angle + similarity" "intra-image only"

The last is the paper's ablation: without pairs of a scene and boxes of other images, which then are neither positives
nor negatives nor sought for the batch. Precision against recall of all systems is drawn in one figure.

Whatever is not a setting of the comparison goes to training/train.py. A run that is finished is not trained again, one
that was cut off goes on.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import HfArgumentParser

from hf_hyperbolic.data.files import write_text, written_aside
from hf_hyperbolic.evaluation import evaluate_embeddings
from hf_hyperbolic.report.figures import Curve, numbers, precision_recall
from hf_hyperbolic.report.style import to_svg
from hf_hyperbolic.training.arguments import IMMATERIAL, TrainArguments
from hf_hyperbolic.training.sources import load_split, train_hierarchy_of
from hf_hyperbolic.training.systems import System, trained, untrained

COSINE = [
    "--loss",
    "cosine",
    "--temperature_init",
    "0.07",
    "--children_measure",
    "cosine",
    "--parents_measure",
    "cosine",
]
EUCLIDEAN = ["--geometry", "euclidean", "--children_measure", "euclidean_beta", "--parents_measure", "euclidean_beta"]
SYSTEMS: dict[str, list[str]] = {
    # all positives alike
    "cosine contrast": [*COSINE, "--similarity_own_weight", "0"],
    # the very contrast that stands beside the angles in the recipe at hand, without the angles
    "cosine contrast, own share": COSINE,
    # Euclidean contrast and a tenth of contrast on hyperbolic distance
    "HCL": ["--loss", "hcl", "--temperature_init", "0.2", "--similarity_own_weight", "0"],
    "MERU cones": ["--loss", "meru", "--temperature_init", "0.07", "--similarity_own_weight", "0"],
    "HyCoCLIP cones": ["--loss", "hycoclip", "--temperature_init", "0.07", "--similarity_own_weight", "0"],
    "ACCEPT": ["--loss", "single_positive", "--temperature_init", "0.07"],
    # the paper's, as we read it, and its Euclidean variant
    "Euclidean angle": [*EUCLIDEAN, "--similarity_weight", "0", "--temperature_init", "0.07"],
    "hyperbolic angle": ["--similarity_weight", "0", "--temperature_init", "0.07"],
    "Euclidean angle + similarity": EUCLIDEAN,
    "hyperbolic angle + similarity": [],
    "intra-image only": ["--cross_parents", "none", "--mated_boxes_per_scene", "0"],
}
# those that run unless others are named
USUAL = [name for name in SYSTEMS if name != "intra-image only"]
Figures = dict[str, dict[str, float | None]]
FIGURES: dict[str, tuple[str, str, str, float]] = {
    # title: section, which ranking measure, name, factor
    "P>C R@50%": ("parent_to_child", "children", "recall@50%", 100),
    "P>C OT@50%": ("parent_to_child", "children", "ot@50%", 1),
    "C>P top-10": ("child_to_parent", "parents", "top_10", 100),
    "own scene@5": ("own_scene", "parents", "recall@5", 100),
    "AUC random": ("entailment", "pairs", "auc_random", 1),
    "AUC boxes": ("entailment", "pairs", "auc_random_boxes", 1),
}


@dataclass
class CompareArguments:
    """What to compare."""

    output_dir: str = field(default="outputs/compare", metadata={"help": "a folder for each run, and the tables"})
    systems: list[str] = field(default_factory=lambda: list(USUAL), metadata={"help": f"of: {', '.join(SYSTEMS)}"})
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "one run of each system for each"})
    split: str = field(default="val", metadata={"help": "evaluated on; the embedded scenes have test and ood too"})
    which: str = field(default="final", metadata={"help": "final, or best by the validation figure"})


def train(folder: Path, settings: list[str]) -> None:
    """Runs training/train.py until `folder` holds a finished run of these settings.

    Raises:
        SystemExit: it holds a run of others, or training failed.
    """
    wanted = TrainArguments.parse([*settings, "--output_dir", str(folder)])
    if (folder / "arguments.json").exists():
        changed = wanted.changes_since(TrainArguments.load(folder), leaving_out=IMMATERIAL)
        if changed:
            raise SystemExit(
                f"{folder} holds a run with other settings ({'; '.join(changed)}): choose another --output_dir"
            )
    if (folder / "final" / "model.safetensors").exists():
        return
    resume = ["--resume", "true"] if (folder / "metrics.jsonl").exists() else []
    script = Path(__file__).with_name("train.py")
    done = subprocess.run([sys.executable, str(script), *settings, "--output_dir", str(folder), *resume])
    if done.returncode:
        raise SystemExit(done.returncode)


def figures(system: System, split: str) -> tuple[Figures, dict[str, list[float]]]:
    """The compared figures of one run (value, chance, ceiling), and its precision-recall curve parent -> child.

    The curve holds `recall`, `value`, `low`, `high` (a 95 % interval over scenes), `chance` and `ceiling`, a list each.
    """
    args = system.args
    train_hierarchy, held_out = train_hierarchy_of(args), load_split(args, split)
    found: Mapping[str, Any] = evaluate_embeddings(
        system.embed(held_out),
        held_out.hierarchy,
        system.curvature,
        measures=sorted(set(system.measures.values())),
        train_hierarchy=train_hierarchy,
    )
    rows = {}
    for title, (section, way, name, factor) in FIGURES.items():
        entry = found[section][system.measures[way]][name]
        rows[title] = {key: _scaled(entry[key], factor) for key in ("value", "chance", "ceiling")}
    radial = found["radial"]["all"]
    rows["parent nearer"] = {key: _scaled(radial[key], 100) for key in ("value", "chance", "ceiling")}
    hub = found["hubness"]["child_to_parent"][system.measures["parents"]]["largest_share"]
    rows["C>P hub"] = {"value": 100 * hub["value"], "chance": 100 * hub["chance"], "ceiling": None}
    drawn = found["precision_recall"]
    levels = {name: drawn[name] for name in ("recall", "chance", "ceiling")}
    return rows, {**levels, **drawn["measures"][system.measures["children"]]}


def kept_figures(folder: Path, which: str, split: str, system: Callable[[], System]) -> tuple[Figures, dict]:
    """What `figures` gives, from the files of an earlier comparison where there are any."""
    files = [folder / f"{kind}-{which}-{split}.json" for kind in ("figures", "precision-recall")]
    if not all(file.exists() for file in files):
        for file, content in zip(files, figures(system(), split), strict=True):
            write_text(file, json.dumps(content, indent=1))
    rows, curve = (json.loads(file.read_text()) for file in files)
    return rows, curve


def draw_curves(curves: Mapping[str, list[dict]], path: Path) -> None:
    """Precision against recall of all systems: over seeds their mean and range, of one run its 95 % interval."""
    drawn = {}
    for name, runs in curves.items():
        values = np.array([numbers(run["value"]) for run in runs])
        low, high = values.min(0), values.max(0)
        if len(runs) == 1:
            low, high = (np.array(numbers(runs[0][bound])) for bound in ("low", "high"))
        drawn[name] = Curve(runs[0]["recall"], *(line.tolist() for line in (values.mean(0), low, high)))
    first = next(iter(curves.values()))[0]
    levels = [(first["recall"], numbers(first[level])) for level in ("chance", "ceiling")]
    with written_aside(path) as aside:
        aside.write_bytes(to_svg(precision_recall(drawn, *levels)))


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def table(results: Mapping[str, list[Figures]]) -> str:
    """Mean over seeds with the smallest and largest value; chance and ceiling below."""
    titles = list(next(iter(results.values()))[0])
    width = max(map(len, results)) + 2
    lines = [" " * width + "".join(f"{title:>22}" for title in titles)]
    for name, runs in results.items():
        cells = []
        for title in titles:
            values = np.array([run[title]["value"] for run in runs], dtype=float)  # undefined: NaN
            digits = 3 if title.startswith("AUC") else 2 if "OT" in title else 1
            spread = f" ({values.min():.{digits}f}-{values.max():.{digits}f})" if len(values) > 1 else ""
            cells.append(f"{values.mean():.{digits}f}{spread}")
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    if {"HCL", "HyCoCLIP cones"} & set(results):
        lines.append("HCL and HyCoCLIP take the object for the root: theirs is to have the child nearer the origin")
    for level in ("chance", "ceiling"):
        first = next(iter(results.values()))[0]
        lines.append(f"{level:<{width}}" + "".join(f"{_text(first[title][level]):>22}" for title in titles))
    return "\n".join(lines)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser(CompareArguments)  # type: ignore[arg-type]
    options, settings = parser.parse_args_into_dataclasses(argv, return_remaining_strings=True)
    unknown = set(options.systems) - set(SYSTEMS)
    if unknown:
        raise SystemExit(f"unknown systems {', '.join(sorted(unknown))}; known: {', '.join(SYSTEMS)}")
    output = Path(options.output_dir)
    results: dict[str, list[Figures]] = {}
    curves: dict[str, list[dict]] = {}

    def add(name: str, found: tuple[Figures, dict]) -> None:
        results.setdefault(name, []).append(found[0])
        curves.setdefault(name, []).append(found[1])

    for seed in options.seeds:
        for name in options.systems:
            folder = output / f"{'-'.join(re.findall('[A-Za-z]+', name))}-seed-{seed}"
            train(folder, [*settings, *SYSTEMS[name], "--seed", str(seed)])
            load = partial(trained, folder, which=options.which)
            add(name, kept_figures(folder, options.which, options.split, load))
            if name == options.systems[0]:
                start = untrained(load().args)
                add(start.name, figures(start, options.split))
            write_text(output / f"comparison-{options.split}.json", json.dumps(results, indent=1))
            write_text(output / f"precision-recall-{options.split}.json", json.dumps(curves, indent=1))
    curves = {**{name: curves[name] for name in options.systems}, start.name: curves[start.name]}
    draw_curves(curves, output / f"precision-recall-{options.split}.svg")
    ordered = {start.name: results.pop(start.name), **results}
    print(f"{len(options.seeds)} seeds: mean (smallest-largest); shares in per cent; lower is better for OT and hub")
    text = table(ordered)
    write_text(output / f"comparison-{options.split}.txt", text + "\n")
    print(text)
    print(f"precision against recall, scene to boxes: {output / f'precision-recall-{options.split}.svg'}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
