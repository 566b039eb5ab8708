"""Train a hyperbolic image encoder on scenes, objects and parts.

    accelerate launch training/train.py                                    # embedded scenes, on a CPU in minutes
    accelerate launch training/train.py --data PATH                        # your photographs, COCO annotations
    accelerate launch training/train.py training/configs/clip_vit_b16.yaml # the paper's recipe

The loop is here; when it validates, writes checkpoints and stops is in `hf_hyperbolic.training.milestones`. A batch is
a function of (seed, step), so a run that was cut off goes on with `--resume` and ends with the same weights as one that
was not.
"""

import math
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from tqdm.auto import tqdm
from transformers import CLIPImageProcessorPil

from hf_hyperbolic.losses import PairMasks, TiledMasks
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.phrases import longest_text, save_processors
from hf_hyperbolic.training import checkpoints
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_model, build_processor
from hf_hyperbolic.training.captions import SceneCaptions, load_captions, readable
from hf_hyperbolic.training.class_phrases import ClassPhrases
from hf_hyperbolic.training.embed_crops import embed_crops, embed_crops_and_names
from hf_hyperbolic.training.failures import clear_failures, whole_folder
from hf_hyperbolic.training.feeds import make_feed
from hf_hyperbolic.training.fine_tuning import check_sharded, feed_of_features, restrict_training
from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes
from hf_hyperbolic.training.gradient_cache import GradientCache, batch_norms
from hf_hyperbolic.training.head_on_features import HeadOnFeatures, embed_features
from hf_hyperbolic.training.lora import ADAPTER, merged_weights, save_adapters
from hf_hyperbolic.training.milestones import Milestones
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.optimisation import learning_rate_factor, parameter_groups
from hf_hyperbolic.training.precision import resolve_precision
from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
from hf_hyperbolic.training.processes import end_processes, make_accelerator
from hf_hyperbolic.training.run_folder import METRICS, keep_metrics_until, prepare_output, record
from hf_hyperbolic.training.sharding import Sharding
from hf_hyperbolic.training.sources import check_two_splits, load_split
from hf_hyperbolic.training.speed import adamw, speed_up
from hf_hyperbolic.training.step_guard import StepGuard
from hf_hyperbolic.training.text_tower import ClassNames, add_text_tower
from hf_hyperbolic.training.trackers import start_trackers, track_retrieval, trackers_asked_for
from hf_hyperbolic.training.validation import Validation
from hf_hyperbolic.training.weight_average import WeightAverage


def save_model(
    model: HyperbolicCLIPVisionModel,
    args: TrainArguments,
    processor: CLIPImageProcessorPil,
    folder: Path,
    class_names: ClassNames | None = None,
) -> None:
    """Writes model, remote code, processors and settings as one folder, aside and then in place."""
    with whole_folder(folder) as aside:
        if args.lora_rank:
            model.save_pretrained(aside, state_dict=merged_weights(model))
            save_adapters(model, aside / ADAPTER)
        else:
            model.save_pretrained(aside)
        if class_names is None:
            processor.save_pretrained(aside)
        else:
            save_processors(aside, processor, class_names.tokenizer)
        args.save(aside)
        if (how := Path(args.backbone) / PretrainArguments.FILE).is_file():  # where the backbone came from
            shutil.copyfile(how, aside / how.name)


@clear_failures
def main(argv: list[str] | None = None) -> None:
    args = TrainArguments.parse(sys.argv[1:] if argv is None else argv)
    precision, trackers = resolve_precision(args.mixed_precision, args.cpu), trackers_asked_for(args.report_to)
    accelerator = make_accelerator(args, precision, trackers)
    output = prepare_output(args, accelerator.process_index)
    accelerator.wait_for_everyone()
    set_seed(args.seed)
    accelerator.print(
        f"{accelerator.num_processes} process(es) on {accelerator.device}, mixed precision {precision}; "
        f"the run goes to {output}"
    )

    check_two_splits(args.data)
    train_split = None if args.stream else load_split(args, "train")
    val_split = load_split(args, "val", first=args.eval_images, check=accelerator.is_main_process)
    accelerator.print(f"train: {train_split.summary() if train_split else 'read as it comes'}")
    accelerator.print(f"val, as looked at while training: {val_split.summary()}")
    shard = (accelerator.process_index, accelerator.num_processes)
    feed = make_feed(train_split, args, shard, pin_memory=accelerator.device.type == "cuda")

    model = build_model(args, (train_split or val_split).hierarchy.class_names)
    class_names = scene_captions = None
    if args.text_weight:
        phrases = ClassPhrases((train_split or val_split).hierarchy.class_names)
        texts = phrases.every()
        if args.captions and train_split:
            captions = load_captions(args.captions, args, "train", args.data, train_split.table)
            accelerator.print(f"train: {captions.summary()}")
            texts += captions.texts
        model, tokenizer = add_text_tower(model, args.text, texts)
        class_names = ClassNames(phrases, tokenizer, model)
        if args.captions:
            captions, left_out = readable(captions, tokenizer, longest_text(model))
            accelerator.print(left_out or "all of them can be read")
            scene_captions = SceneCaptions(captions, args.seed)
    for line in (*restrict_training(model, args), *speed_up(model.backbone, args)):
        accelerator.print(line)
    processor = build_processor(args)
    mean, std = processor.image_mean, processor.image_std
    optimizer = adamw(
        parameter_groups(model, args.learning_rate, args.backbone_learning_rate, args.weight_decay, args.layer_decay),
        accelerator.device,
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
    )
    sharding = Sharding(accelerator, model)
    check_sharded(args, sharding.active)
    if not sharding.active:  # of which FSDP2 makes no shards
        # convolutions are about 1.2 times faster so, on a CPU too
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    average = WeightAverage(model, args.ema_decay) if args.ema_decay else None
    val_features = None
    if args.cache_features:
        assert train_split is not None
        feed, val_split, val_features = feed_of_features(model, train_split, val_split, args, accelerator, mean, std)
    prepared, optimizer = accelerator.prepare(HeadOnFeatures(model) if args.cache_features else model, optimizer)
    if average:
        average.model.to(accelerator.device)
        average.keep_with(accelerator)

    def embed(crops: torch.Tensor) -> torch.Tensor:
        return embed_features(prepared, crops) if args.cache_features else embed_crops(prepared, crops, mean, std)

    cache = GradientCache(embed, prepared, accelerator, args.micro_batch_size) if args.micro_batch_size else None
    if cache and batch_norms(model):
        accelerator.print(
            "warning: this model has batch statistics, which --micro_batch_size takes of parts of at most "
            f"{args.micro_batch_size} crops: the gradient is not that of the whole batch, and running statistics move "
            "once for each part. A model without them (CLIP, ViT, DINOv2) learns as from the whole batch"
        )

    progress = checkpoints.Progress(processes=accelerator.num_processes)
    peaks = [group["peak"] for group in optimizer.param_groups]
    if args.resume:
        progress, position = checkpoints.restore(accelerator, output, args.max_steps)
        if position is not None:
            feed.resume(position)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["peak"] = peak  # what is asked for now, not what the checkpoint was trained with
    if accelerator.is_main_process:
        args.save(output)
        keep_metrics_until(output / METRICS, progress.step)
    start_trackers(accelerator, args, trackers)

    validation = Validation(val_split, args, mean, std, int(args.image_cache_gb * 2**30), val_features)

    broken: set[str] = set()
    warned: set[str] = set()
    started = time.time()
    bar = tqdm(
        total=args.max_steps, initial=progress.step, desc="training", disable=not accelerator.is_local_main_process
    )
    guard = StepGuard(accelerator, model, progress, output, args.max_skipped_steps)

    def whole() -> HyperbolicCLIPVisionModel:
        """The model that is evaluated and saved; every process calls it."""
        if average:
            return average.model
        return sharding.whole(prepared) if sharding.active else model

    def validate() -> None:
        evaluated = whole()
        if accelerator.is_main_process:
            figures = validation(evaluated)
            record(accelerator, output, figures, progress.step)
            track_retrieval(accelerator, validation, evaluated, progress.step)
            bar.write(f"step {progress.step}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
            if figures["val_score"] > progress.best:
                progress.best, progress.best_step = figures["val_score"], progress.step
                save_model(evaluated, args, processor, output / "best", class_names)

    models = [model, average.model] if average else [model]
    milestones = Milestones(accelerator, args, progress, models, validate, feed.position)
    milestones.catch_up()
    prepared.train()
    for batch in feed.loader(progress.step):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(progress.step, args.warmup_steps, args.max_steps)
        for message in set(batch["broken"]) - broken:
            broken.add(message)
            bar.write(f"skipped {message}")
        guard.before()
        nodes, counts = gather_nodes(batch["nodes"], accelerator.device)
        crops = batch["pixel_values"].to(accelerator.device, non_blocking=True)
        names = captioned = None
        said = scene_captions.draw(np.asarray(batch["nodes"]), progress.step) if scene_captions else np.empty(0, int)
        with accelerator.autocast():
            if class_names:
                texts = [scene_captions.texts[row] for row in said] if scene_captions else []
                tokens = class_names.tokens(args.seed, progress.step, crops.device, texts)
                embeds, names = embed_crops_and_names(prepared, crops, tokens, mean, std)
            else:
                embeds = cache.embed(crops) if cache else embed(crops)
        embeds = gather_embeddings(embeds, counts)
        if scene_captions and names is not None:  # they stand behind the names
            names, spoken = names.split([len(names) - len(said), len(said)])
            captioned = scene_captions.matched(spoken, said, embeds, nodes)
        # on a GPU this runs while the crops are embedded
        relations = feed.relations(batch, nodes)
        if not len(relations.own):
            raise SystemExit(
                f"step {progress.step} has no pair to learn from: {len(broken)} images could not be read so far. Check "
                "the image files; hf_hyperbolic.data.find_broken lists those that are broken"
            )
        relations = relations.to(embeds.device)
        scenes = relations.is_scene
        masks = TiledMasks(relations) if args.loss_tile else PairMasks(*relations.block())
        named = class_names.phrases.of_called(relations.categories) if class_names else None
        loss, parts = objective(model, embeds, masks, args, relations.categories, scenes, names, named, captioned)
        if cache:
            cache.backward(loss)
        else:
            accelerator.backward(loss)
        sharding.average_gradients()
        length = accelerator.clip_grad_norm_(prepared.parameters(), args.max_grad_norm or math.inf)
        if skipped := guard.refuses(float(parts["loss"]), length):
            bar.write(guard.report(skipped, feed.describe(batch), batch))
        else:
            optimizer.step()
            model.clamp_scalars_()
            if average:
                average.update(model)
        optimizer.zero_grad()
        progress.step += 1
        bar.update()

        if (progress.step % args.logging_steps == 0 or progress.step == 1) and not skipped:
            radii = model.radii(embeds.detach())
            figures = {
                **{name: part.item() for name, part in parts.items()},
                "curvature": model.curvature.item(),
                "temperature": model.temperature.item(),
                "radius_scene": radii[scenes].mean().item(),
                "radius_box": radii[~scenes].mean().item(),
                "learning_rate": optimizer.param_groups[0]["lr"],
                "skipped_steps": progress.skipped,
                "seconds": time.time() - started,
            }
            record(accelerator, output, figures, progress.step)
            bar.set_postfix(loss=f"{figures['loss']:.3f}", c=f"{figures['curvature']:.2f}")
            for name, bound in model.bounds_hit().items():
                if name not in warned:
                    warned.add(name)
                    bar.write(f"step {progress.step}: {name} rests on its {bound} bound")
        milestones.after_step(skipped is not None)
    bar.close()
    if progress.skipped:
        accelerator.print(f"{progress.skipped} steps were skipped, as their loss or gradient was not finite")
    if broken:
        print(f"{len(broken)} images could not be read and were left out (process {accelerator.process_index})")
    finished_model = whole()
    if accelerator.is_main_process:
        save_model(finished_model, args, processor, output / "final", class_names)
        best = f", {output / 'best'} (best validation figure, {progress.best:.4f})" if progress.best_step >= 0 else ""
        print(f"done: {output / 'final'} (last step){best}")
    end_processes(accelerator)


if __name__ == "__main__":
    main()
