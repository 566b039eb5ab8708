"""Train several systems with the same backbone, pairs and budget, over several seeds, and print them side by side.

    python training/compare.py --output_dir outputs/compare --seeds 0 1 2 --split test --ood true --zero_shot true
    python training/compare.py --output_dir outputs/ccp training/configs/photographs.yaml --data PATH
    python training/compare.py --systems "hyperbolic angle" "hyperbolic angle, intra-image only"
    python training/compare.py --variants training/studies/recipe.yaml --jobs 2 --image_size 32 --max_steps 500

Tables give mean and range over seeds, chance, ceiling and rankings blind to the query; below them stands a verdict on
every claim of the paper, and on what this library sets out to reach. Precision against recall is drawn. The last line
is a study: variants of one recipe from a file, each held against the first.

Whatever is not a setting of the comparison goes to training/train.py. A run that is finished is neither trained nor
evaluated again, one that was cut off goes on.
"""

import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import HfArgumentParser
from transformers.utils.logging import disable_progress_bar

from hf_hyperbolic.evaluation.scorer import split_measure
from hf_hyperbolic.retrieval.measures import HYPERBOLIC_MEASURES, euclidean_counterpart
from hf_hyperbolic.training.arguments import IMMATERIAL, TrainArguments
from hf_hyperbolic.training.compared_systems import DEFAULT, SYSTEMS, check_systems, run_folder, settings_of
from hf_hyperbolic.training.comparison_report import Comparison, write_comparison
from hf_hyperbolic.training.jobs import Job, run_jobs
from hf_hyperbolic.training.kept_figures import Kept
from hf_hyperbolic.training.run_evaluation import Run, Target, trained_run, untrained_run
from hf_hyperbolic.training.sources import load_split
from hf_hyperbolic.training.systems import UNTRAINED
from hf_hyperbolic.training.variants import read_variants


@dataclass
class CompareArguments:
    """What to compare."""

    output_dir: str = field(default="outputs/compare", metadata={"help": "a folder for each run, and the tables"})
    systems: list[str] = field(default_factory=list, metadata={"help": f"default: all; of: {'; '.join(SYSTEMS)}"})
    variants: str | None = field(
        default=None, metadata={"help": "YAML file of variants of a recipe, trained in place of the systems"}
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "one run of each system for each"})
    jobs: int = field(
        default=1, metadata={"help": "trainings at once, which share the processors and write to train.log"}
    )
    split: str = field(default="val", metadata={"help": "evaluated on; the embedded scenes have test and ood too"})
    which: str = field(default="final", metadata={"help": "final, or best by the validation figure"})
    ood: bool = field(default=False, metadata={"help": "evaluate out of domain too"})
    ood_data: str | None = field(
        default=None,
        metadata={"help": "data set of --ood, any that training/evaluate.py takes; default: the embedded scenes' own"},
    )
    ood_split: str | None = field(default=None, metadata={"help": "its split; default: ood, or val of --ood_data"})
    ood_image_folder: str | None = field(default=None, metadata={"help": "where its images lie, if not with it"})
    zero_shot: bool = field(
        default=False, metadata={"help": "tell boxes by class prototypes too, on the split and on --ood_data"}
    )

    rank_by: list[str] = field(
        default_factory=list,
        metadata={
            "help": "other scores to rank the recipe at hand by, of a study the first variant, on the split: measures, "
            "such as beta, cosine or combined, alone or with +centred, +zscored or +csls"
        },
    )

    def __post_init__(self) -> None:
        self.known = read_variants(self.variants) if self.variants else SYSTEMS
        check_systems(self.systems, self.known)
        self.systems = self.systems or list(self.known)
        self.ranked = next(iter(self.known)) if self.variants else DEFAULT
        for measure in self.rank_by:
            split_measure(measure)
        if len(set(self.rank_by)) < len(self.rank_by):
            raise ValueError(f"--rank_by names one twice: {' '.join(self.rank_by)}")
        if self.rank_by and self.ranked not in self.systems:
            raise ValueError(f"--rank_by is of {self.ranked!r}: name it among --systems")
        if not self.seeds:
            raise ValueError("--seeds needs at least one entry")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"--seeds names one twice: {' '.join(map(str, self.seeds))}")
        if self.which not in ("best", "final"):
            raise ValueError(f"--which must be best or final, got {self.which!r}")
        if self.jobs < 1:
            raise ValueError(f"--jobs must be at least 1, got {self.jobs}")
        if self.ood_data and not self.ood:
            raise ValueError("--ood_data needs --ood true")
        if self.zero_shot and self.split == "train":
            raise ValueError("--zero_shot makes its prototypes of the training split: evaluate another --split")

    def check_ranking(self, args: TrainArguments) -> None:
        """
        Raises:
            ValueError: a score of --rank_by is of hyperbolic models, and the recipe at hand makes none.
        """
        for measure in self.rank_by:
            base, _ = split_measure(measure)
            if args.geometry == "euclidean" and base in HYPERBOLIC_MEASURES:
                raise ValueError(
                    f"--rank_by {measure} is of hyperbolic models: of Euclidean ones {euclidean_counterpart(base)}"
                )

    def other(self, args: TrainArguments) -> Target | None:
        """What is evaluated out of domain.

        Raises:
            ValueError: it is not said what, and the data have no such split of their own.
        """
        if not self.ood:
            return None
        if self.ood_data is None and args.data != "scenes":
            raise ValueError(f"{args.data} has no out-of-domain split of its own: name another set by --ood_data")
        split = self.ood_split or ("val" if self.ood_data else "ood")
        return Target(args, split, self.ood_data, self.ood_image_folder)


def unfinished(folder: Path, name: str, settings: list[str]) -> Job | None:
    """What is left to do until `folder` holds a finished run of these settings; None for nothing.

    Raises:
        ValueError: it holds a run of others.
    """
    wanted = TrainArguments.parse([*settings, "--output_dir", str(folder)])
    if (folder / "arguments.json").exists():
        changed = wanted.changes_since(TrainArguments.load(folder), leaving_out=IMMATERIAL)
        if changed:
            raise ValueError(
                f"{folder} holds a run with other settings ({'; '.join(changed)}): choose another --output_dir"
            )
    if (folder / "final" / "model.safetensors").exists():
        return None
    resume = ["--resume", "true"] if (folder / "metrics.jsonl").exists() else []
    script = str(Path(__file__).with_name("train.py"))
    return Job(name, (sys.executable, script, *settings, "--output_dir", str(folder), *resume), folder)


def train(options: CompareArguments, settings: list[str], args: TrainArguments) -> None:
    """Trains what is not trained yet.

    Raises:
        SystemExit: a run failed.
    """
    found = [
        unfinished(
            run_folder(Path(options.output_dir), name, seed),
            f"{name}, seed {seed}",
            [*settings_of(settings, options.known[name]), "--seed", str(seed)],
        )
        for seed in options.seeds
        for name in options.systems
    ]
    jobs = [job for job in found if job is not None]
    if len(jobs) > 1 and options.jobs > 1 and args.data == "scenes":
        for split in ("train", "val"):  # rendered once, and not by several at a time
            load_split(args, split)
    if failed := run_jobs(jobs, options.jobs):
        raise SystemExit(
            f"{len(failed)} of {len(jobs)} runs failed: {'; '.join(job.name for job in failed)}. The same command goes "
            "on with what is not finished"
        )


def evaluate(options: CompareArguments, args: TrainArguments) -> Comparison:
    """Evaluates what is not evaluated yet."""
    disable_progress_bar()  # of loading weights
    output, device = Path(options.output_dir), "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    main, other = Target(args, options.split), options.other(args)
    runs: dict[str, list[Run]] = {UNTRAINED: []}
    for seed in options.seeds:
        start = replace(args, seed=seed)
        runs[UNTRAINED].append(untrained_run(run_folder(output, UNTRAINED, seed), start, device))
        for name in options.systems:
            runs.setdefault(name, []).append(trained_run(run_folder(output, name, seed), options.which, device))
    told = [target for target in (main, other) if target and options.zero_shot]
    # the embedded scenes' own out-of-domain split shares no class with the training split
    told = [target for target in told if target is main or target.data]
    retrieval: dict[str, dict[str, list[Kept]]] = {}
    zero_shot: dict[str, dict[str, list[Kept]]] = {}
    bar = tqdm(total=sum(map(len, runs.values())), desc="evaluated", unit="run")
    for name, of_seeds in runs.items():
        for run in of_seeds:
            for target in filter(None, (main, other)):
                retrieval.setdefault(target.name, {}).setdefault(name, []).append(target.retrieval(run))
            for target in told:
                zero_shot.setdefault(target.name, {}).setdefault(name, []).append(target.zero_shot(run))
            bar.update()
    bar.close()
    elsewhere = retrieval[other.name] if other else {}
    variants = {name: options.known[name] for name in options.systems} if options.variants else {}
    ranked = {}
    if options.rank_by:
        ranked["own measures"] = retrieval[main.name][options.ranked]
        for measure in tqdm(options.rank_by, desc="ranked", unit="score"):
            ranked[measure] = [main.retrieval(run.ranked_by(measure)) for run in runs[options.ranked]]
    return Comparison(
        options.split, retrieval[main.name], elsewhere, other.name if other else "", zero_shot, variants, ranked
    )


def parse(argv: list[str]) -> tuple[CompareArguments, list[str]]:
    """The options, and the settings of training/train.py with its recipe first, wherever that stood."""
    parser = HfArgumentParser(CompareArguments)  # type: ignore[arg-type]
    # behind the values of --seeds or --systems it would be taken for one more; right behind an option it is its value
    places = [
        place
        for place, word in enumerate(argv)
        if word.endswith((".yaml", ".yml"))
        and not word.startswith("-")
        and not (place and argv[place - 1].startswith("-"))
    ]
    recipes = [argv[place] for place in places]
    if len(recipes) > 1:
        raise ValueError(f"one recipe at a time, got {' and '.join(recipes)}; a file of variants goes to --variants")
    words = [word for place, word in enumerate(argv) if place not in places]
    options, settings = parser.parse_args_into_dataclasses(words, return_remaining_strings=True)
    return options, [*recipes, *settings]


def main(argv: list[str] | None = None) -> None:
    options, settings = parse(sys.argv[1:] if argv is None else argv)
    args = TrainArguments.parse(settings)
    options.check_ranking(TrainArguments.parse(settings_of(settings, options.known[options.ranked])))
    options.other(args)  # what cannot be done is said before hours of training
    train(options, settings, args)
    started = time.time()
    output = Path(options.output_dir)
    text = write_comparison(evaluate(options, args), options.seeds, output)
    print(text)
    print(
        f"evaluated in {time.time() - started:.0f} s; also as Markdown and JSON in {output}, and precision against "
        f"recall in precision-recall-{options.split}.svg"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on from the last checkpoints") from None
