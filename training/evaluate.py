"""Evaluate a trained run beside its untrained start and any other runs; write tables, JSON and an HTML report.

python training/evaluate.py --run outputs/demo
python training/evaluate.py --run outputs/angle --baselines outputs/cosine --split test
"""

import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from transformers import HfArgumentParser

from hf_hyperbolic.data.files import write_text
from hf_hyperbolic.evaluation import evaluate_per_query, format_table, paired_difference, save_per_query
from hf_hyperbolic.report import write_report
from hf_hyperbolic.training.sources import load_split, train_hierarchy_of
from hf_hyperbolic.training.systems import System, trained, untrained


@dataclass
class EvaluateArguments:
    """What to evaluate, on what."""

    run: str = field(metadata={"help": "the --output_dir of training/train.py"})
    baselines: list[str] = field(default_factory=list, metadata={"help": "other runs on the same data"})
    which: str = field(default="best", metadata={"help": "best (by the validation figure) or final"})
    data: str | None = field(default=None, metadata={"help": "another data set than the run's; see training/train.py"})
    split: str = field(default="val", metadata={"help": "val; the embedded scenes have test and ood too"})
    output_dir: str | None = field(default=None, metadata={"help": "default: evaluation-SPLIT inside the run"})
    seed: int = field(default=0, metadata={"help": "of pair sampling, bootstrap and the choice of gallery queries"})
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU"})


def compare(main: System, others: list[System], per_query: dict[str, dict]) -> dict[str, dict[str, dict]]:
    """Paired differences, main system minus each other, each by its own ranking measure."""
    found: dict[str, dict[str, dict]] = {}
    for other in others:
        rows = {}
        for words, way, key in (
            ("parent to child, Recall@50 %", "children", "parent_to_child/{}/recall@50%"),
            ("child to parent, Top-10", "parents", "child_to_parent/{}/top_10"),
            ("own scene, recall@5", "parents", "own_scene/{}/recall@5"),
        ):
            mine = per_query[main.name][key.format(main.measures[way])]
            theirs = per_query[other.name][key.format(other.measures[way])]
            rows[words] = paired_difference(mine, theirs)
        found[other.name] = rows
    return found


def told_apart(systems: list[System], runs: list[str]) -> list[System]:
    """Gives systems of one name (another seed, other weights of the loss) the folder of their run as a second name."""
    names = [system.name for system in systems]
    told = [
        replace(system, name=f"{system.name} ({Path(run).resolve().name})") if names.count(system.name) > 1 else system
        for system, run in zip(systems, runs, strict=True)
    ]
    if len({system.name for system in told}) < len(told):
        raise ValueError(
            f"two of the runs {', '.join(runs)} cannot be told apart: give each once, in a folder of its own name"
        )
    return told


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser(EvaluateArguments)  # type: ignore[arg-type]
    (options,) = parser.parse_args_into_dataclasses(argv)
    device = "cuda" if torch.cuda.is_available() and not options.cpu else "cpu"
    started = time.time()
    runs = [options.run, *options.baselines]
    system, *baselines = told_apart([trained(run, device, options.which) for run in runs], runs)
    args = system.args
    others = [*baselines, untrained(args, device)]
    data = options.data or args.data

    train_hierarchy, held_out = train_hierarchy_of(args, data), load_split(args, options.split, data)
    if train_hierarchy is None:
        print(f"{data} has no training split: no figure of the oracles that know its class frequencies")
    hierarchy = held_out.hierarchy

    results, per_query, embeddings = {}, {}, {}
    for each in (system, *others):
        print(f"embedding with {each.name}")
        embeddings[each.name] = each.embed(held_out)
        results[each.name], per_query[each.name] = evaluate_per_query(
            embeddings[each.name], hierarchy, each.curvature, train_hierarchy=train_hierarchy, seed=options.seed
        )

    output = Path(options.output_dir or Path(options.run) / f"evaluation-{options.split}")
    output.mkdir(parents=True, exist_ok=True)
    text = format_table(results)
    write_text(output / "table.txt", text)
    write_text(output / "results.json", json.dumps({"options": asdict(options), "results": results}, indent=1))
    for name, values in per_query.items():
        save_per_query(output / f"per_query-{'-'.join(re.findall('[A-Za-z0-9]+', name))}.npz", values)

    reader = held_out.images(cache_bytes=2**28)

    def crop_of(node: int) -> np.ndarray:
        return reader.cut(int(hierarchy.node_image[node]), hierarchy.node_box[node])

    metrics_file = Path(options.run) / "metrics.jsonl"
    metrics = [json.loads(line) for line in metrics_file.read_text().splitlines()] if metrics_file.exists() else None
    report = write_report(
        output / "report.html",
        results,
        hierarchy,
        embeddings[system.name],
        system.curvature,
        metrics,
        crop_of,
        {**asdict(args), "evaluated_on": data, "split": options.split},
        children_measure=system.measures["children"],
        parents_measure=system.measures["parents"],
        pairs_measure=system.measures["pairs"],
        system_measures={other.name: other.measures for other in others},
        comparisons=compare(system, others, per_query),
        seed=options.seed,
    )
    if options.which == "best" and options.split == "val":
        text += "note: the model was chosen among its checkpoints on this very split; --which final is not\n"
    print(text)
    print(f"evaluated in {time.time() - started:.0f} s; report: {report}; figures: {output / 'results.json'}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
