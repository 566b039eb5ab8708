"""The three kinds of transformers pipelines that find boxes, behind one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

# each task with the score from which its own pipeline keeps a detection
DEFAULT_THRESHOLD = {"object-detection": 0.5, "zero-shot-object-detection": 0.1, "mask-generation": 0.88}
# what a box of a mask is called: masks have no class
REGION = "region"
# model types trained on texts that end with a full stop, which the pipeline does not add
_FULL_STOP = ("grounding-dino", "mm-grounding-dino")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Seen:
    """What a detector sees in one picture, unchecked: boxes may be inverted, not finite or outside.

    Attributes:
        boxes: (n, 4) float64, x0 y0 x1 y1 in pixels of the picture.
        scores: (n,) float64.
        labels: (n,) str.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def task_of(detector: Any) -> str:
    """The task of a pipeline.

    Raises:
        ValueError: it is no pipeline of a task that finds boxes.
    """
    task = getattr(detector, "task", None)
    if not callable(detector) or task not in DEFAULT_THRESHOLD:
        found = f"a pipeline of task {task!r}" if isinstance(task, str) else f"a {type(detector).__name__}"
        raise ValueError(
            f"detector must be a transformers pipeline of task {', '.join(DEFAULT_THRESHOLD)}; got {found}: "
            'make one by transformers.pipeline("object-detection", model=...)'
        )
    return task


def name_of(detector: Any) -> str:
    """Name or path of a pipeline's model; its class where it has none."""
    model = getattr(detector, "model", detector)
    return getattr(model, "name_or_path", "") or type(model).__name__


def check_classes(detector: Any, classes: Sequence[str]) -> None:
    """Checks that a detector can be asked for classes, none standing for no choice.

    Raises:
        ValueError: a zero-shot detector without classes, a detector of masks with classes, or a class that a detector
            of fixed classes does not know.
    """
    task = task_of(detector)
    if task == "zero-shot-object-detection" and not classes:
        raise ValueError(
            "a zero-shot detector needs to be told what to look for: pass classes, for example "
            'classes={"car": ["wheel", "window"], "person": ["face", "hand"]}'
        )
    if task == "mask-generation" and classes:
        raise ValueError(f'masks have no class (their boxes are all called "{REGION}"): leave classes out')
    known = getattr(getattr(getattr(detector, "model", None), "config", None), "id2label", None)
    if task == "object-detection" and known:
        unknown = [name for name in classes if name not in known.values()]
        if unknown:
            listed = ", ".join(list(known.values())[:20]) + (", ..." if len(known) > 20 else "")
            raise ValueError(
                f"{name_of(detector)} does not know {', '.join(map(repr, unknown))}; it knows {len(known)} classes: "
                f"{listed}"
            )


def look(
    detector: Any,
    pictures: Sequence[Image.Image],
    classes: Sequence[Sequence[str] | None],
    threshold: float,
    batch_size: int,
) -> list[Seen]:
    """Runs a detector on pictures.

    Args:
        detector: a pipeline, checked by `task_of`.
        pictures: RGB.
        classes: for each picture the classes to look for, None for any.
        threshold: detections of a lower score are left out.
        batch_size: how many pictures (for zero-shot detectors: pairs of picture and class) the model takes at once;
            masks are made one picture at a time.

    Raises:
        ValueError: the detector answers in another form than its task's, or cannot batch pictures of unequal sizes.
    """
    task = task_of(detector)
    if task == "mask-generation":
        answers = [detector(picture, pred_iou_thresh=threshold) for picture in pictures]
        return [_from_masks(detector, answer, threshold) for answer in answers]
    end = "." if _model_type(detector) in _FULL_STOP else ""
    inputs: list[Any] = list(pictures)
    if task == "zero-shot-object-detection":
        inputs = [
            {"image": picture, "candidate_labels": [f"{name}{end}" for name in names or ()]}
            for picture, names in zip(pictures, classes, strict=True)
        ]
    try:
        answers = detector(inputs, threshold=threshold, batch_size=batch_size)
    except RuntimeError as error:
        if batch_size > 1 and "Sizes of tensors must match" in str(error):
            raise ValueError(
                f"{name_of(detector)} keeps the shape of its pictures, so pictures of unequal shapes make no batch: "
                "pass batch_size=1"
            ) from error
        raise
    if not isinstance(answers, list) or len(answers) != len(pictures):
        raise ValueError(f"{name_of(detector)} must answer {len(pictures)} pictures by as many lists, got {answers!r}")
    return [_from_list(detector, answer, names, threshold, end) for answer, names in zip(answers, classes, strict=True)]


def _model_type(detector: Any) -> str | None:
    return getattr(getattr(getattr(detector, "model", None), "config", None), "model_type", None)


def _from_list(detector: Any, answer: Any, names: Sequence[str] | None, threshold: float, end: str) -> Seen:
    boxes, scores, labels = [], [], []
    try:
        for found in answer:
            score, label = float(found["score"]), str(found["label"]).removesuffix(end)
            if not score < threshold and (names is None or label in names):  # the search counts scores that are NaN
                boxes.append([float(found["box"][corner]) for corner in _CORNERS])
                scores.append(score)
                labels.append(label)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{name_of(detector)} must answer a list of score, label and box ({', '.join(_CORNERS)}), got {answer!r}"
        ) from error
    return _seen(boxes, scores, labels)


def _from_masks(detector: Any, answer: Any, threshold: float) -> Seen:
    boxes, scores = [], []
    try:
        for mask, score in zip(answer["masks"], answer["scores"], strict=True):
            rows, columns = np.nonzero(np.asarray(mask))
            if not float(score) < threshold and len(rows):
                boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                scores.append(float(score))
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{name_of(detector)} must answer masks and as many scores, got {answer!r}") from error
    return _seen(boxes, scores, [REGION] * len(boxes))


def _seen(boxes: list[Any], scores: list[float], labels: list[str]) -> Seen:
    return Seen(np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(scores), np.array(labels, dtype=np.str_))
