"""Train by the `Trainer` of transformers, with the settings, the batches and the numbers of training/train.py.

    python training/train_with_trainer.py --data PATH --output_dir outputs/mine
    accelerate launch training/train_with_trainer.py training/configs/clip_vit_b16.yaml --data PATH

An example to start from where you have a `Trainer` of your own: callbacks, hyperparameter search, launchers. `--resume
true` goes on from the newest checkpoint. Adapters, moving averages, cached features, gradient caching, streams, a text
tower and the skipping of steps that are not finite are of training/train.py alone.
"""

import shutil
import sys
from pathlib import Path

from accelerate.utils import set_seed

from hf_hyperbolic.data.files import folder_written_aside
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_model, build_processor
from hf_hyperbolic.training.fine_tuning import restrict_training
from hf_hyperbolic.training.processes import end_processes
from hf_hyperbolic.training.sources import check_two_splits, load_split
from hf_hyperbolic.training.trackers import trackers_asked_for
from hf_hyperbolic.training.trainer import HierarchyTrainer, training_arguments

# of a checkpoint of the Trainer, what is no part of the model
STATE = ("optimizer.pt", "scheduler.pt", "rng_state*.pth", "trainer_state.json", "scaler.pt")


def main(argv: list[str] | None = None) -> None:
    settings = TrainArguments.parse(sys.argv[1:] if argv is None else argv)
    args = training_arguments(settings, report_to=trackers_asked_for(settings.report_to) or "none")
    output = Path(settings.output_dir)
    if (output / "final").exists() or (any(output.glob("checkpoint-*")) and not settings.resume):
        raise SystemExit(f"{output} already holds a run: add --resume true to go on with it, or choose another folder")
    set_seed(settings.seed)
    check_two_splits(settings.data)
    train, val = load_split(settings, "train"), load_split(settings, "val", first=settings.eval_images)
    model, processor = build_model(settings, train.hierarchy.class_names), build_processor(settings)
    for line in restrict_training(model, settings):
        print(line)

    trainer = HierarchyTrainer(model, settings, args, train, val, processor)
    trainer.train(resume_from_checkpoint=settings.resume and any(output.glob("checkpoint-*")))
    trainer.save_model(str(output / "final"))
    if trainer.is_world_process_zero():
        settings.save(output)
        best = trainer.state.best_model_checkpoint
        if best is not None and Path(best).exists():
            with folder_written_aside(output / "best") as aside:
                shutil.copytree(best, aside, ignore=shutil.ignore_patterns(*STATE), dirs_exist_ok=True)
        kept = f", {output / 'best'} (best validation figure)" if (output / "best").exists() else ""
        print(f"done: {output / 'final'} (last step){kept}")
    end_processes(trainer.accelerator)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
