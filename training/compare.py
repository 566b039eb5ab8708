"""Train several systems with the same backbone, pairs and budget, over several seeds, and print them side by side.

    python training/compare.py --output_dir outputs/compare --seeds 0 1 2
    python training/compare.py --output_dir outputs/ccp training/configs/photographs.yaml --data PATH

Whatever is not a setting of the comparison goes to training/train.py. A run that is finished is not trained again, one
that was cut off goes on.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from transformers import HfArgumentParser

from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.evaluation import evaluate_embeddings
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
}
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
    systems: list[str] = field(default_factory=lambda: list(SYSTEMS), metadata={"help": f"of: {', '.join(SYSTEMS)}"})
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


def figures(system: System, split: str) -> Figures:
    """The compared figures of one run: value, chance, ceiling, and of the AUC the category-pair oracle."""
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
    return rows


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
    for seed in options.seeds:
        for name in options.systems:
            folder = output / f"{'-'.join(re.findall('[A-Za-z]+', name))}-seed-{seed}"
            train(folder, [*settings, *SYSTEMS[name], "--seed", str(seed)])
            kept = folder / f"figures-{options.which}-{options.split}.json"
            if not kept.exists():
                write_text(kept, json.dumps(figures(trained(folder, which=options.which), options.split), indent=1))
            results.setdefault(name, []).append(json.loads(kept.read_text()))
            if name == options.systems[0]:
                start = untrained(trained(folder, which=options.which).args)
                results.setdefault("untrained", []).append(figures(start, options.split))
            write_text(output / f"comparison-{options.split}.json", json.dumps(results, indent=1))
    ordered = {"untrained": results.pop("untrained"), **results}
    print(f"{len(options.seeds)} seeds: mean (smallest-largest); shares in per cent; lower is better for OT and hub")
    text = table(ordered)
    write_text(output / f"comparison-{options.split}.txt", text + "\n")
    print(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
