"""Give a finished image encoder words: fit a text tower to its embeddings, which stay as they are.

    python training/add_text.py --run outputs/demo                                      # a small one, from scratch
    python training/add_text.py --run outputs/demo --captions auto                      # captions beside class names
    python training/add_text.py --run outputs/run --text openai/clip-vit-base-patch16   # CLIP's, with its weights

The image side is frozen, so that images are looked at once, and an index that it made stays valid: the text tower alone
is trained, in minutes on a CPU. What is written holds both, and `AutoModel` and `AutoProcessor` load it.
"""

import json
import sys
import time
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import HfArgumentParser, set_seed

from hf_hyperbolic.data.captions import Captions
from hf_hyperbolic.data.files import folder_written_aside
from hf_hyperbolic.data.hierarchy import Hierarchy
from hf_hyperbolic.evaluation.captions import KS
from hf_hyperbolic.evaluation.figures import FIELDS, Figure
from hf_hyperbolic.evaluation.text_to_image import TOP, evaluate_text_to_image
from hf_hyperbolic.evaluation.zero_shot import evaluate_zero_shot, nearest_measure
from hf_hyperbolic.evaluation.zero_shot_task import draw_support
from hf_hyperbolic.losses import caption_loss, name_loss
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.phrases import longest_text, tokenize
from hf_hyperbolic.training.captions import caption_batch, caption_figures, load_captions, readable, readable_by
from hf_hyperbolic.training.class_phrases import ClassPhrases, number_phrases, read_aliases
from hf_hyperbolic.training.optimisation import learning_rate_factor
from hf_hyperbolic.training.sources import load_split
from hf_hyperbolic.training.speed import adamw
from hf_hyperbolic.training.systems import System, is_run, pretrained
from hf_hyperbolic.training.text_arguments import TextArguments
from hf_hyperbolic.training.text_fitting import load_sound_split, name_batches, text_parameter_groups
from hf_hyperbolic.training.text_tower import FROM_SCRATCH, add_text_tower, save_with_text


def main(argv: list[str] | None = None) -> None:
    parser = HfArgumentParser(TextArguments)  # type: ignore[arg-type]
    (args,) = parser.parse_args_into_dataclasses(argv)
    if args.folder.exists():
        raise SystemExit(f"{args.folder} exists already: choose another --output_dir, or remove it")
    set_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() and not args.cpu else "cpu"
    image_folder = Path(args.run) / args.which if is_run(args.run) else Path(args.run)
    system = pretrained(str(image_folder), device)
    if not isinstance(system.model, HyperbolicCLIPVisionModel):
        raise ValueError(f"{image_folder} is no model of this library: its space has no place for words")
    data = args.data or (system.args.data if system.known else None)
    if data is None:
        raise ValueError(f"{image_folder} does not say what it was trained on: name boxes with classes by --data")
    settings = replace(system.args, scenes_dir=args.scenes_dir or system.args.scenes_dir)

    split = load_sound_split(settings, data, args.images)
    print(f"{data}, train: {split.summary()}")
    hierarchy = split.hierarchy
    captions = load_captions(args.captions, settings, "train", data, split.table) if args.captions else None
    if captions:
        print(f"{data}, train: {captions.summary()}")
    phrases = None
    if args.names:
        aliases = read_aliases(args.aliases, hierarchy.class_names) if args.aliases else None
        phrases = ClassPhrases(hierarchy.class_names, args.templates, aliases)
    texts = [*(phrases.every() if phrases else ()), *(captions.texts if captions else ())]
    embeds = torch.from_numpy(system.embed(split)).to(device)
    model, tokenizer = add_text_tower(system.model, args.text, texts)
    longest = longest_text(model)
    if phrases:
        tokenize(tokenizer, phrases.every(), longest)  # before the work: is any phrase too long?
    if captions:
        captions, left_out = readable(captions, tokenizer, longest)
        print(left_out or "all of them can be read")

    model.requires_grad_(False)
    groups = text_parameter_groups(
        model, args.learning_rate, args.learning_rate if args.text in FROM_SCRATCH else args.backbone_learning_rate,
        args.weight_decay,
    )  # fmt: skip
    optimizer = adamw(groups, device, lr=args.learning_rate)
    curvature = model.curvature.detach()
    how = (
        curvature, args.temperature, model.config.geometry, args.similarity_weight, args.similarity_temperature
    )  # fmt: skip

    def embedded(texts: list[str]) -> torch.Tensor:
        tokens = tokenize(tokenizer, texts, longest)
        return model.get_text_embeds(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))

    def of(nodes: np.ndarray) -> torch.Tensor:
        return embeds[torch.from_numpy(nodes).to(device)]

    started = time.time()
    model.train()
    names = repeat(None) if phrases is None else name_batches(
        hierarchy, phrases, args.max_steps, args.boxes_per_batch, args.scenes_per_batch, args.seed
    )  # fmt: skip
    bar = tqdm(zip(range(args.max_steps), names, strict=False), total=args.max_steps, desc="fitting the text tower")
    for step, named in bar:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, args.warmup_steps, args.max_steps)
        loss = curvature.new_zeros(())
        if named:
            loss = (
                loss
                + name_loss(
                    embedded(named.phrases), of(named.nodes), named.categories.to(device), named.scenes.to(device), *how
                ).loss
            )
        if captions:
            said = caption_batch(captions, args.scenes_per_batch, args.seed, step)
            loss = loss + caption_loss(embedded(said.phrases), of(said.nodes), said.positives.to(device), *how).loss
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss is {loss.item()} at step {step}: try a lower --learning_rate")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    model.requires_grad_(True).eval()

    with folder_written_aside(args.folder) as aside:
        save_with_text(model, system.processor, tokenizer, aside, image_folder)
        (aside / args.FILE).write_text(json.dumps(args.as_dict(), indent=2) + "\n", encoding="utf-8")
    print(f"fitted in {time.time() - started:.0f} s; the model with words: {args.folder}")

    fitted = replace(system, model=model, tokenizer=tokenizer)
    try:
        val = load_split(settings, "val", data, first=args.eval_images)
        val_embeds = fitted.embed(val)
    except (ValueError, OSError) as error:  # no validation images
        print(f"no figures on validation images: {error}")
        return
    print(f"{data}, val: {val.hierarchy.num_images} images, with 95 % intervals")
    if phrases:
        try:
            print(figures(fitted, val.hierarchy, val_embeds, hierarchy, embeds.cpu()))
        except ValueError as error:  # a class among them that training has not
            print(f"no figures on validation images: {error}")
    if args.captions:
        try:
            of_val = load_captions(args.captions, settings, "val", data, val.table)
            print(figures_of_captions(fitted, of_val, val.hierarchy, val_embeds))
        except (ValueError, OSError) as error:  # no captions of them
            print(f"no figures of captions on validation images: {error}")


def figures(
    system: System, val: Hierarchy, val_embeds: np.ndarray, train: Hierarchy, train_embeds: torch.Tensor
) -> str:
    """On the first validation images: retrieval by name, and which class a box is of by names and by prototypes.

    Retrieval is by the measures that the model ranks by; prototypes are means of up to 50 boxes of a class among the
    training images that were looked at.
    """
    names = system.embed_names(val.class_names)
    assert names is not None
    measures = {"boxes": system.measures["children"], "scenes": system.measures["parents"]}
    found, _ = evaluate_text_to_image(
        val_embeds, val, names, system.curvature, sorted({*measures.values()}), called=number_phrases(val.class_names)
    )
    lines = ["by the name of each class, share of the top 10 in %:"]
    lines += [
        f"  {gallery} by {measure}: {_percent(found[measure][f'{gallery}_top_{TOP}'])}"
        for gallery, measure in measures.items()
    ]
    support = draw_support(train, val)
    told, _ = evaluate_zero_shot(
        val_embeds, val, train_embeds[torch.from_numpy(support.nodes)], support, system.curvature,
        sorted({nearest_measure(system.curvature), "cosine", measures["scenes"]}), map_resamples=1, name_embeds=names,
    )  # fmt: skip
    about = told["zero_shot_about"]
    lines.append(f"class of {about['boxes']} boxes among {about['classes']}, accuracy in %:")
    for section, words in (("zero_shot_by_name", "by names"), ("zero_shot", "by prototypes of boxes")):
        lines += [f"  {words}, {measure}: {_percent(of['accuracy'])}" for measure, of in told[section].items()]
    return "\n".join(lines)


def figures_of_captions(system: System, captions: Captions, val: Hierarchy, val_embeds: np.ndarray) -> str:
    """On the first validation images: retrieval by captions and of captions, by the model's own measures."""
    measures = {"images": system.measures["children"], "captions": system.measures["parents"]}
    lines = [f"{captions.summary()}; Recall@k in %:"]
    captions, _, unread = readable_by(captions, [system])
    found, _ = caption_figures(system, val_embeds, val, captions, sorted({*measures.values()}))
    lines += unread
    for gallery, words in (("images", "caption to image"), ("captions", "image to caption")):
        measure = measures[gallery]
        lines += [f"  {words} by {measure}, k = {k}: {_percent(found[measure][f'{gallery}_recall@{k}'])}" for k in KS]
    return "\n".join(lines)


def _percent(figure: Figure) -> str:
    value, low, high, chance, ceiling = (f"{100 * figure[name]:.1f}" for name in FIELDS)
    return f"{value} [{low}, {high}] (chance {chance}, ceiling {ceiling})"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
