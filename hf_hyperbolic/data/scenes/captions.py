"""Captions of embedded scenes, made from what is annotated in them: "a harbour with two ships and a lighthouse"."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.files import written_aside
from hf_hyperbolic.data.scenes.classes import OBJECT_CLASSES
from hf_hyperbolic.data.text_files import read_json

_NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PLURALS = {"person": "people", "bus": "buses", "bench": "benches", "bookshelf": "bookshelves"}
# where a thing is, by the kind of scene; "in" where it is not listed
_PLACES = {"street": "on", "farm": "on", "building site": "on", "station": "at", "campsite": "at"}
_OBJECTS = frozenset(OBJECT_CLASSES)
SHORT = 2  # kinds of things in a caption that leaves things out


def captions_of(kind: str, things: Sequence[str]) -> list[str]:
    """What a scene may be called: with all that is in it, with the first few kinds, and these alone.

    Args:
        kind: of scene.
        things: class of each object, the largest first.

    Returns:
        Three captions, or the kind alone where there is no thing. A function of the arguments.
    """
    counts = Counter(things)
    phrases = [_counted(name, count) for name, count in counts.items()]
    scene = _with_article(kind)
    if not phrases:
        return [scene]
    few = _listed(phrases[:SHORT])
    return [f"{scene} with {_listed(phrases)}", f"{scene} with {few}", f"{few} {_PLACES.get(kind, 'in')} {scene}"]


def write_captions(annotations: str | os.PathLike[str]) -> Path:
    """Writes `captions_<split>.json` beside the `instances_<split>.json` of `write_scenes`, in COCO's layout.

    Nothing is drawn: captions name the objects that the annotations have, the larger first; parts are not named.

    Args:
        annotations: what `write_scenes` returned.

    Returns:
        Path of the captions.

    Raises:
        FileNotFoundError, ValueError: there are no annotations of scenes.
        OSError: the folder cannot be written.
    """
    path = Path(annotations)
    document = read_json(path)
    if "scene_kind" not in (document.get("images") or [{}])[0]:
        raise ValueError(f"{path}: not the annotations of embedded scenes: they have no scene_kind")
    target = path.with_name(path.name.replace("instances", "captions", 1))
    content = json.dumps(_coco(document))
    if not target.is_file() or target.read_text(encoding="utf-8") != content:
        with written_aside(target, rivals=True) as aside:
            aside.write_text(content, encoding="utf-8")
    return target


def _coco(document: Mapping[str, Any]) -> dict[str, Any]:
    names = {row["id"]: row["name"] for row in document["categories"]}
    things: dict[int, list[tuple[float, str]]] = {}
    for row in document["annotations"]:
        if (name := names[row["category_id"]]) in _OBJECTS:
            things.setdefault(row["image_id"], []).append((row["area"], name))
    rows: list[dict[str, Any]] = []
    for image in document["images"]:
        largest_first = sorted(things.get(image["id"], []), key=lambda thing: (-thing[0], thing[1]))
        for caption in captions_of(image["scene_kind"], [name for _, name in largest_first]):
            rows.append({"id": len(rows) + 1, "image_id": image["id"], "caption": caption})
    return {"info": document["info"], "licenses": [], "images": document["images"], "annotations": rows}


def _counted(name: str, count: int) -> str:
    if count == 1:
        return _with_article(name)
    number = _NUMBERS[count] if count < len(_NUMBERS) else "many"
    return f"{number} {_PLURALS.get(name, f'{name}s')}"


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"
