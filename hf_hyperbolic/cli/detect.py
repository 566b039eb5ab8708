"""`hf-hyperbolic data detect`: boxes for images that have none, by a detector from the Hub."""

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_hyperbolic.data.vocabulary import Classes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.description = (
        "Finds boxes of objects, and of parts inside them, and writes them as a COCO instances file. An interrupted "
        "run goes on where it stopped when the same command is given again."
    )
    parser.add_argument("images", help="folder of images, searched with its subfolders")
    parser.add_argument("output", help="COCO instances file to write, for example boxes.json")
    parser.add_argument(
        "--model", required=True, help="a detector's name on the Hub, for example IDEA-Research/grounding-dino-tiny"
    )
    parser.add_argument(
        "--labels",
        type=_names,
        default=[],
        metavar="NAME,NAME",
        help="what to look for; needed by zero-shot detectors, else a choice of the classes the detector knows",
    )
    parser.add_argument(
        "--parts",
        type=_parts,
        action="append",
        default=[],
        metavar="NAME=PART,PART",
        help="what to look for inside boxes of a class, and nothing else; may be given once for each class",
    )
    parser.add_argument("--depth", type=int, default=2, help="1: whole images, 2: the boxes found there too, and so on")
    parser.add_argument("--score-threshold", type=float, help="least score, in [0, 1]; default: the pipeline's own")
    parser.add_argument("--max-boxes", type=int, default=50, help="most boxes kept from one whole image or one crop")
    parser.add_argument("--batch-size", type=int, default=1, help="pictures the detector takes at once")
    parser.add_argument("--device", help="for example cpu, cuda or cuda:1; default: the pipeline's choice")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit status: 0, or 130 if the user stopped it.

    Raises:
        ValueError, OSError: as `detect_boxes`; the model is not found or finds no boxes.
    """
    from hf_hyperbolic.data.detect import detect_boxes, find_images

    classes = read_classes(options.labels, options.parts)
    # what is mistyped shows before a model of gigabytes is fetched
    find_images(options.images)
    check_device(options.device)
    detector = load_detector(options.model, options.device)
    try:
        done = detect_boxes(
            options.images,
            detector,
            options.output,
            classes=classes,
            depth=options.depth,
            score_threshold=options.score_threshold,
            max_boxes=options.max_boxes,
            batch_size=options.batch_size,
        )
    except KeyboardInterrupt:
        print("stopped; what was found is kept: give the same command again to go on", file=sys.stderr)
        return 130
    for problem in done.problems:
        print(problem, file=sys.stderr)
    resumed = f", {done.num_resumed} of them found before" if done.num_resumed else ""
    print(f"wrote {done.output}: {done.num_boxes} boxes in {done.num_images} images{resumed}")
    if not done.num_boxes:
        print("no boxes: lower --score-threshold, or look for other --labels", file=sys.stderr)
    look = shlex.join(["hf-hyperbolic", "data", "draw", str(done.output), "sheet.png"])
    print(f"look at it: {look} --image-folder {shlex.quote(str(done.image_folder))}")
    return 0


def read_classes(labels: list[str], parts: list[tuple[str, list[str]]]) -> "Classes | None":
    """The argument `classes` of `detect_boxes` that `--labels` and `--parts` stand for.

    Raises:
        ValueError: parts of a class that nothing looks for, or given twice.
    """
    if not parts:
        return labels or None
    inside = dict(parts)
    if len(inside) < len(parts):
        raise ValueError("--parts: give all parts of a class in one, NAME=PART,PART")
    looked_for = {*labels, *(name for names in inside.values() for name in names)}
    stray = [name for name in inside if name not in looked_for]
    if stray:
        raise ValueError(f"--parts {stray[0]}=...: nothing looks for {stray[0]!r}: name it in --labels")
    return {name: inside.get(name, []) for name in dict.fromkeys([*labels, *inside])}


def check_device(device: str | None) -> None:
    """
    Raises:
        ValueError: there is no such device here.
    """
    import torch

    if device is None:
        return
    try:
        torch.zeros(1, device=device)
    except (AssertionError, RuntimeError) as error:  # torch raises either
        raise ValueError(f"--device {device}: not to be had here: {str(error).splitlines()[0]}") from error


def load_detector(model: str, device: str | None) -> object:
    """A pipeline of the task that fits the model's type.

    Raises:
        ValueError: the model finds no boxes.
        OSError: there is no such model, neither on the Hub nor as a folder.
    """
    # transformers takes seconds to import: not before the arguments are known to be right
    from transformers import AutoConfig, pipeline
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASK_GENERATION_MAPPING,
        MODEL_FOR_OBJECT_DETECTION_MAPPING,
        MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING,
    )

    from hf_hyperbolic.checkpoint_names import check_checkpoint_name

    check_checkpoint_name(model)
    config = type(AutoConfig.from_pretrained(model))
    if config in MODEL_FOR_ZERO_SHOT_OBJECT_DETECTION_MAPPING:
        return pipeline("zero-shot-object-detection", model=model, device=device)
    if config in MODEL_FOR_OBJECT_DETECTION_MAPPING:
        return pipeline("object-detection", model=model, device=device)
    if config in MODEL_FOR_MASK_GENERATION_MAPPING:
        return pipeline("mask-generation", model=model, device=device)
    raise ValueError(
        f"--model {model}: a {config.__name__.removesuffix('Config')} finds no boxes: choose a model for "
        "object-detection, zero-shot-object-detection or mask-generation"
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parts(text: str) -> tuple[str, list[str]]:
    name, equals, parts = text.partition("=")
    if not equals or not name.strip() or not _names(parts):
        raise argparse.ArgumentTypeError(f"expected NAME=PART,PART, got {text!r}")
    return name.strip(), _names(parts)
