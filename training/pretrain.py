"""Pretrain a backbone on the images and boxes of a training split, without labels, where no weights are to be had.

    accelerate launch training/pretrain.py --data PATH --output_dir outputs/pretrained
    accelerate launch training/train.py --data PATH --backbone outputs/pretrained/backbone

Two random views of each crop are to find each other among all views of a batch (SimCLR), or to agree (VICReg). A batch
and its views are a function of (seed, step), so a run that was cut off goes on with `--resume` and ends with the same
weights as one that was not.
"""

import math
import sys
import time
from pathlib import Path

import torch
from accelerate.utils import DistributedType, set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import CLIPImageProcessorPil, PreTrainedModel

from hf_hyperbolic.encoder import normalise
from hf_hyperbolic.losses import nt_xent_loss, vicreg_loss
from hf_hyperbolic.training import checkpoints, workers
from hf_hyperbolic.training.backbones import build_backbone, build_processor, freeze_unused, starts_from_scratch
from hf_hyperbolic.training.continued import is_own
from hf_hyperbolic.training.failures import clear_failures, whole_folder
from hf_hyperbolic.training.feeds import worker_settings
from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes
from hf_hyperbolic.training.milestones import Milestones
from hf_hyperbolic.training.optimisation import learning_rate_factor, parameter_groups
from hf_hyperbolic.training.precision import resolve_precision
from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
from hf_hyperbolic.training.pretraining import (
    ContrastedBackbone,
    PretrainValidation,
    ViewBatches,
    overlapping,
    two_views,
)
from hf_hyperbolic.training.processes import end_processes, make_accelerator
from hf_hyperbolic.training.run_folder import METRICS, keep_metrics_until, prepare_output, record
from hf_hyperbolic.training.sources import check_two_splits, load_split
from hf_hyperbolic.training.speed import adamw, speed_up
from hf_hyperbolic.training.step_guard import StepGuard


def save_backbone(
    backbone: PreTrainedModel, args: PretrainArguments, processor: CLIPImageProcessorPil, folder: Path
) -> None:
    """Writes backbone, image processor and settings as one folder, aside and then in place."""
    with whole_folder(folder) as aside:
        backbone.save_pretrained(aside)
        processor.save_pretrained(aside)
        args.save(aside)


@clear_failures
def main(argv: list[str] | None = None) -> None:
    args = PretrainArguments.parse(sys.argv[1:] if argv is None else argv)
    precision = resolve_precision(args.mixed_precision, args.cpu)
    accelerator = make_accelerator(args, precision)
    if accelerator.distributed_type == DistributedType.FSDP:
        raise SystemExit("pretraining does not share out weights: launch it with training/launch/ddp_2gpu.yaml")
    output = prepare_output(args, accelerator.process_index)
    accelerator.wait_for_everyone()
    set_seed(args.seed)
    accelerator.print(
        f"{accelerator.num_processes} process(es) on {accelerator.device}, mixed precision {precision}; "
        f"the run goes to {output}"
    )

    check_two_splits(args.data)
    train_split = load_split(args, "train")
    val_split = load_split(args, "val", first=args.eval_images, check=accelerator.is_main_process)
    accelerator.print(f"train: {train_split.summary()}")
    accelerator.print(f"val, as looked at while training: {val_split.summary()}")
    hierarchy = train_split.hierarchy
    batches = ViewBatches(train_split, args, (accelerator.process_index, accelerator.num_processes))

    if not starts_from_scratch(args.backbone) and is_own(args.backbone):
        accelerator.print(f"taken from {args.backbone}: the backbone alone")
    model = ContrastedBackbone(build_backbone(args.backbone), args.image_size, args.head_dim)
    if unused := freeze_unused(model, args.image_size):
        accelerator.print(f"not trained, as the feature does not depend on them: {', '.join(unused)}")
    processor = build_processor(args)
    mean, std = processor.image_mean, processor.image_std
    groups = parameter_groups(model, args.learning_rate, None, args.weight_decay)
    for line in speed_up(model.backbone, args):
        accelerator.print(line)
    optimizer = adamw(groups, accelerator.device, lr=args.learning_rate)
    # convolutions are about 1.2 times faster so, on a CPU too
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared, optimizer = accelerator.prepare(model, optimizer)

    progress = checkpoints.Progress(processes=accelerator.num_processes)
    peaks = [group["peak"] for group in optimizer.param_groups]
    if args.resume:
        progress, _ = checkpoints.restore(accelerator, output, args.max_steps)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["peak"] = peak  # what is asked for now, not what the checkpoint was trained with
    if accelerator.is_main_process:
        args.save(output)
        keep_metrics_until(output / METRICS, progress.step)
    accelerator.init_trackers("tensorboard")
    validation = PretrainValidation(val_split, args, mean, std) if accelerator.is_main_process else None
    # a generator of its own: see hf_hyperbolic.training.feeds
    loader = DataLoader(
        batches, batch_size=None, sampler=range(progress.step, args.max_steps),
        pin_memory=accelerator.device.type == "cuda", generator=torch.Generator(), **worker_settings(args),
    )  # fmt: skip

    broken: set[str] = set()
    started = time.time()
    bar = tqdm(
        total=args.max_steps, initial=progress.step, desc="pretraining", disable=not accelerator.is_local_main_process
    )
    model = accelerator.unwrap_model(prepared)
    guard = StepGuard(accelerator, model, progress, output, args.max_skipped_steps)

    def validate() -> None:
        if validation is not None:
            figures = validation(model)
            record(accelerator, output, figures, progress.step)
            bar.write(f"step {progress.step}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))

    milestones = Milestones(accelerator, args, progress, [model], validate)
    milestones.catch_up()
    prepared.train()
    for batch in workers.batches(loader):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(progress.step, args.warmup_steps, args.max_steps)
        for message in set(batch["broken"]) - broken:
            broken.add(message)
            bar.write(f"skipped {message}")
        crops = batch["pixel_values"].to(accelerator.device, non_blocking=True)
        if not len(crops):
            raise SystemExit(
                f"step {progress.step} has nothing to contrast: {len(broken)} images could not be read so far. Check "
                "the image files; hf_hyperbolic.data.find_broken lists those that are broken"
            )
        pixels = normalise(two_views(batch, crops, args, progress.step), mean, std)
        guard.before()
        nodes, counts = gather_nodes(batch["nodes"], accelerator.device)
        with accelerator.autocast():
            projections = prepared(pixels.contiguous(memory_format=torch.channels_last))
        views = torch.cat(projections.chunk(2), dim=1)
        first, second = gather_embeddings(views, counts).chunk(2, dim=1)
        if args.objective == "vicreg":
            loss = vicreg_loss(first, second)
        else:
            shared = overlapping(hierarchy, nodes, args.context)
            loss = nt_xent_loss(first, second, args.temperature, torch.from_numpy(shared).to(views.device))
        accelerator.backward(loss)
        length = accelerator.clip_grad_norm_(prepared.parameters(), args.max_grad_norm or math.inf)
        if skipped := guard.refuses(loss.item(), length):
            bar.write(guard.report(skipped, [f"node {node}" for node in batch["nodes"]], batch))
        else:
            optimizer.step()
        optimizer.zero_grad()
        progress.step += 1
        bar.update()

        if (progress.step % args.logging_steps == 0 or progress.step == 1) and not skipped:
            figures = {
                "loss": loss.item(),
                "learning_rate": optimizer.param_groups[0]["lr"],
                "skipped_steps": progress.skipped,
                "seconds": time.time() - started,
            }
            record(accelerator, output, figures, progress.step)
            bar.set_postfix(loss=f"{figures['loss']:.3f}")
        milestones.after_step(skipped is not None)
    bar.close()
    if progress.skipped:
        accelerator.print(f"{progress.skipped} steps were skipped, as their loss or gradient was not finite")
    if broken:
        print(f"{len(broken)} images could not be read and were left out (process {accelerator.process_index})")
    if accelerator.is_main_process:
        save_backbone(model.backbone, args, processor, output / "backbone")
        print(f"done: start training with --backbone {output / 'backbone'}")
    end_processes(accelerator)


if __name__ == "__main__":
    main()
