"""The kinds of scene: what lies behind, who may stand where, and how often.

A kind is a table. Each `Role` is a row of places (a band of heights for the feet) with a weight for everything that
may stand there; the weights fall off steeply, which is where the long tail of the classes comes from.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from hf_hyperbolic.data.scenes import backdrops
from hf_hyperbolic.data.scenes.canvas import Canvas


@dataclass(frozen=True)
class Role:
    """A row of places in a scene.

    Attributes:
        cast: weight of each thing that may stand here.
        counts: weights of having 0, 1, 2, ... of them.
        base: lowest and highest position of the foot, as a share of the image side.
        scale: range of sizes relative to the thing's usual height; what stands lower is drawn larger.
        on: stands on the surface of one of these things, if there is any, instead of on the ground.
        haze: how far away it is, from 0 to 1.
    """

    cast: dict[str, float]
    counts: tuple[float, ...]
    base: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (0.9, 1.1)
    on: tuple[str, ...] = ()
    haze: float = 0.0


@dataclass(frozen=True)
class Kind:
    """A kind of scene: `backdrop` draws what lies behind; `guests` come only outside the domain."""

    name: str
    weight: float
    backdrop: Callable[[Canvas, random.Random], None]
    roles: tuple[Role, ...]
    guests: tuple[str, ...]
    indoors: bool = False


def _street(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.4)
    backdrops.roofline(canvas, rng, 0.4)
    backdrops.ground(canvas, rng, 0.42, canvas.style["stone"])
    backdrops.road(canvas, rng, 0.08, 0.27)


def _harbour(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.5)
    backdrops.hills(canvas, rng, 0.5, canvas.style["leaf"], rng.choice((0, 1, 2)))
    backdrops.water(canvas, rng, 0.5)
    canvas.polygon(((-0.02, 0.09), (1.02, 0.07), (1.02, -0.02), (-0.02, -0.02)), canvas.style["stone"])  # the quay


def _farm(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.5)
    backdrops.hills(canvas, rng, 0.48, canvas.style["leaf"])
    backdrops.ground(canvas, rng, 0.48, backdrops.meadow_colour(canvas, rng), tufts=24)


def _park(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.45)
    if rng.random() < 0.5:
        backdrops.roofline(canvas, rng, 0.45)
    else:
        backdrops.hills(canvas, rng, 0.45, canvas.style["leaf"], 1)
    backdrops.ground(canvas, rng, 0.46, canvas.style["grass"], tufts=16)
    if rng.random() < 0.6:
        x, side = rng.uniform(0.25, 0.75), rng.choice((-0.3, 0.3))
        path = ((x - 0.03, 0.46), (x + 0.03, 0.46), (x + side + 0.2, 0.0), (x + side - 0.16, 0.0))
        canvas.polygon(path, canvas.style["sand"])


def _kitchen(canvas: Canvas, rng: random.Random) -> None:
    backdrops.room(canvas, rng, 0.26)


def _living_room(canvas: Canvas, rng: random.Random) -> None:
    backdrops.room(canvas, rng, 0.30)


def _station(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.42)
    backdrops.hills(canvas, rng, 0.42, canvas.style["leaf"], 1)
    backdrops.ground(canvas, rng, 0.43, canvas.style["grass"], tufts=6)
    backdrops.rails(canvas, rng, 0.30)
    canvas.rectangle(-0.02, -0.02, 1.02, 0.2, canvas.style["stone"])
    canvas.rectangle(-0.02, 0.185, 1.02, 0.2, canvas.style["paper"])


def _building_site(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.36)
    backdrops.roofline(canvas, rng, 0.36)
    backdrops.ground(canvas, rng, 0.37, canvas.style["earth"], tufts=10)
    backdrops.scaffold(canvas, rng, 0.35)


def _campsite(canvas: Canvas, rng: random.Random) -> None:
    backdrops.sky(canvas, rng, 0.46)
    backdrops.hills(canvas, rng, 0.46, canvas.style["leaf"], 3)
    backdrops.water(canvas, rng, 0.46)
    backdrops.ground(canvas, rng, 0.34, canvas.style["sand"] if rng.random() < 0.4 else canvas.style["grass"], tufts=12)


AIR = {"bird": 3.0, "airplane": 1.5, "balloon": 1.0, "helicopter": 0.3}
PEOPLE = {"person": 4.0, "dog": 2.0, "bird": 0.7, "cat": 0.5}
STREET_FURNITURE = {
    "tree": 5.0,
    "street lamp": 2.0,
    "bench": 1.0,
    "traffic light": 1.0,
    "signpost": 0.3,
    "flagpole": 0.15,
}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "street", 3.0, _street,
            (
                Role({"house": 8, "skyscraper": 1.0, "kiosk": 0.8, "tree": 2}, (0, 4, 1.6, 0.4), (0.31, 0.36)),
                Role(STREET_FURNITURE, (8, 5, 0.4), (0.27, 0.30)),
                Role({"car": 8, "bus": 2.5, "truck": 0.8, "bicycle": 1.2}, (3.2, 6, 0.4), (0.10, 0.18), (0.95, 1.2)),
                Role(PEOPLE, (6.4, 4, 0.4), (0.02, 0.07), (0.9, 1.25)),
                Role(AIR, (14.4, 1), (0.74, 0.86), (0.6, 0.9), haze=0.2),
            ),
            ("sofa", "cow", "sailboat", "stove"),
        ),
        Kind(
            "harbour", 2.0, _harbour,
            (
                Role({"lighthouse": 1, "windmill": 0.08, "house": 0.5}, (9.6, 4), (0.46, 0.49), (0.7, 0.9), haze=0.3),
                Role({"sailboat": 6, "ship": 4, "rowboat": 1}, (0, 4, 1.6, 0.4), (0.28, 0.42), (0.65, 0.95), haze=0.2),
                Role({"sailboat": 3, "ship": 2, "rowboat": 3}, (8, 4), (0.11, 0.2), (0.9, 1.2)),
                Role({"bird": 4, "person": 1, "bench": 0.3, "crane": 0.2}, (11.2, 3, 0.4), (0.02, 0.06), (0.9, 1.2)),
                Role(AIR, (6.4, 1), (0.74, 0.88), (0.6, 1.0), haze=0.2),
            ),
            ("car", "bed", "horse", "tractor"),
        ),
        Kind(
            "farm", 2.0, _farm,
            (
                Role({"barn": 5, "house": 2, "windmill": 1, "tree": 3}, (2, 5, 1), (0.40, 0.46), (0.8, 1), haze=0.2),
                Role({"tree": 4, "tractor": 2.5, "horse": 1, "cow": 1}, (4.8, 4, 0.4), (0.26, 0.34)),
                Role({"cow": 6, "horse": 3, "tractor": 1.2, "dog": 0.7}, (3.2, 4, 0.8), (0.08, 0.22), (0.9, 1.2)),
                Role({"person": 1.5, "cat": 0.7, "dog": 1, "flower": 1.2, "bird": 1}, (8, 4), (0.02, 0.06), (0.9, 1.2)),
                Role(AIR, (9.6, 1), (0.76, 0.88), (0.6, 0.9), haze=0.2),
            ),
            ("ship", "bus", "lamp", "refrigerator"),
        ),
        Kind(
            "park", 2.5, _park,
            (
                Role({"tree": 8, "fountain": 1, "kiosk": 0.7, "street lamp": 1}, (0, 3, 1.6, 0.8), (0.34, 0.42)),
                Role({"swing": 3, "slide": 3, "bench": 3, "bicycle": 1}, (3.2, 5, 0.8), (0.16, 0.28), (0.9, 1.15)),
                Role({**PEOPLE, "bicycle": 1.0}, (3.2, 5, 0.8), (0.03, 0.14), (0.9, 1.2)),
                Role({"flower": 3, "snowman": 0.3, "signpost": 0.3}, (9.6, 2, 0.4), (0.02, 0.07), (1.0, 1.4)),
                Role(AIR, (8, 1), (0.72, 0.86), (0.6, 1.0), haze=0.2),
            ),
            ("train", "cupboard", "kettle", "lighthouse"),
        ),
        Kind(
            "kitchen", 2.0, _kitchen,
            (
                Role({"window": 2, "clock": 3, "picture": 2}, (4.8, 5, 0.4), (0.66, 0.72), (0.8, 1.0)),
                Role({"stove": 6, "sink": 4, "cupboard": 4, "refrigerator": 4}, (0, 5, 1.6), (0.19, 0.25), (0.9, 1)),
                Role({"pan": 3, "kettle": 3, "vase": 0.5, "cup": 1}, (3.2, 4, 0.8), on=("stove", "sink", "cupboard")),
                Role({"table": 5, "chair": 2}, (6.4, 5), (0.04, 0.1), (0.95, 1.15)),
                Role({"bowl": 4, "cup": 4, "kettle": 1, "vase": 2}, (1.6, 4, 1.2), (0, 0), (0.9, 1.3), on=("table",)),
                Role({"chair": 4, "person": 1.2, "cat": 1, "dog": 0.6}, (8, 4, 0.4), (0.02, 0.07), (1.1, 1.4)),
            ),
            ("tree", "bicycle", "snowman", "street lamp"),
            indoors=True,
        ),
        Kind(
            "living room", 2.0, _living_room,
            (
                Role({"window": 1.5, "picture": 5, "clock": 1.5}, (1.6, 5, 1.2), (0.62, 0.74), (0.8, 1.1)),
                Role({"sofa": 6, "bed": 4, "bookshelf": 3, "cupboard": 2}, (0, 6, 1.2), (0.21, 0.27), (0.9, 1.05)),
                Role({"vase": 2, "clock": 0.7, "lamp": 0.5}, (5, 3), (0, 0), (0.8, 1.1), on=("cupboard", "bookshelf")),
                Role({"lamp": 5, "chair": 3, "flower": 0.3}, (4.8, 5, 0.4), (0.14, 0.2), (0.9, 1.1)),
                Role({"table": 4, "person": 1.2, "cat": 2, "dog": 1.4}, (6.4, 5, 0.4), (0.02, 0.09), (0.95, 1.25)),
                Role({"cup": 3, "bowl": 2, "vase": 2}, (3.2, 4, 0.8), (0, 0), (0.9, 1.3), on=("table",)),
            ),
            ("car", "swing", "cow", "traffic light"),
            indoors=True,
        ),
        Kind(
            "station", 1.5, _station,
            (
                Role({"house": 2, "tree": 3, "skyscraper": 0.4}, (4.8, 5, 0.4), (0.36, 0.4), (0.8, 1.0), haze=0.2),
                Role({"train": 1}, (3.2, 8), (0.265, 0.275), (0.8, 1.1)),

                Role({"bench": 3, "street lamp": 3, "signpost": 1, "flagpole": 0.2}, (4.8, 5, 0.4), (0.09, 0.13)),
                Role({**PEOPLE, "bicycle": 0.8}, (4.8, 5, 0.8), (0.02, 0.08), (0.9, 1.2)),
            ),
            ("horse", "rowboat", "table", "slide"),
        ),
        Kind(
            "building site", 1.0, _building_site,
            (
                Role({"crane": 6, "house": 1, "skyscraper": 2}, (0, 5, 1.2), (0.28, 0.33), (0.85, 1.0)),
                Role({"digger": 5, "truck": 4, "tractor": 0.3}, (0, 6, 0.8), (0.10, 0.22), (0.85, 1.1)),
                Role({"person": 3, "signpost": 1, "dog": 0.5, "bicycle": 0.6}, (5, 5), (0.02, 0.08), (0.9, 1.15)),
                Role({"helicopter": 1, "bird": 1}, (9.6, 1), (0.74, 0.84), (0.7, 1.0)),
            ),
            ("cow", "sofa", "fountain", "tent"),
        ),
        Kind(
            "campsite", 0.7, _campsite,
            (
                Role({"sailboat": 1, "rowboat": 2}, (6.4, 3), (0.36, 0.40), (0.6, 0.8), haze=0.2),
                Role({"tree": 8, "signpost": 0.5}, (1.6, 4, 1.2), (0.27, 0.32)),
                Role({"tent": 6, "car": 1, "tree": 1}, (0, 5, 1.2), (0.10, 0.22), (0.9, 1.2)),
                Role({"person": 2, "dog": 1.5, "bicycle": 1, "table": 0.5}, (3.2, 5, 0.8), (0.02, 0.08), (0.9, 1.15)),
                Role(AIR, (6.4, 1), (0.74, 0.86), (0.7, 1.1), haze=0.2),
            ),
            ("stove", "bus", "lighthouse", "bookshelf"),
        ),
    )
}  # fmt: skip
