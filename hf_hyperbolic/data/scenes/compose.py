"""From a seed to a scene: choose a kind and a style, give every role its cast, place them, draw them back to front."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hf_hyperbolic.data.scenes import (  # noqa: F401  (fill THINGS)
    boats,
    buildings,
    creatures,
    furniture,
    kitchen,
    outdoors,
    vehicles,
)
from hf_hyperbolic.data.scenes.canvas import Canvas, Part
from hf_hyperbolic.data.scenes.foreign import draw_foreign_style
from hf_hyperbolic.data.scenes.kinds import KINDS, Kind, Role
from hf_hyperbolic.data.scenes.style import draw_style
from hf_hyperbolic.data.scenes.thing import THINGS, Thing

SPLITS = ("train", "val", "test", "ood")
FEWEST_BOXES = 4  # a scene with fewer is drawn again
CONTAINED = 0.7  # a place is refused where one thing's box would hold this share of another's


@dataclass(frozen=True)
class Scene:
    """A drawn scene with its true parts.

    Attributes:
        image: RGB, size x size pixels.
        boxes: (n, 4) float32, x0 y0 x1 y1 in pixels: the tight box of what can be seen of each thing.
        labels: n class names, in the order they were drawn (a parent before its parts).
        parents: (n,) int64, row of what each was drawn as a part of (its nearest visible ancestor), -1 if none.
        kind: name of the kind of scene.
    """

    image: Image.Image
    boxes: np.ndarray
    labels: tuple[str, ...]
    parents: np.ndarray
    kind: str


@dataclass(frozen=True)
class Placed:
    """A thing with its place: foot (x, y) and height as shares of the image side."""

    thing: Thing
    x: float
    y: float
    height: float
    angle: float
    flip: bool
    haze: float
    depth: float  # drawn in falling order

    @property
    def box(self) -> tuple[float, float, float, float]:
        half = self.thing.aspect * self.height / 2
        return self.x - half, self.y, self.x + half, self.y + self.height


def render_scene(seed: int, index: int, split: str = "train", size: int = 192) -> Scene:
    """Draw one scene; the same arguments give the same bytes, on any machine with the same Pillow.

    The random stream depends on (seed, split, index), so the splits share no scene. It does not depend on the size:
    a scene is the same at every size, except that small sizes round a few borderline boxes away or in.

    Args:
        seed: of the whole set.
        index: of the scene, from 0.
        split: one of `SPLITS`; `"ood"` has styles and combinations of things that the others never have.
        size: side of the image in pixels, at least 16.

    Raises:
        ValueError: unknown split, negative index, or size below 16.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index must not be negative, got {index}")
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    rng = random.Random(f"hf_hyperbolic scenes/{seed}/{split}/{index}")
    while True:
        scene = _draw(rng, foreign=split == "ood", size=size)
        if len(scene.labels) >= FEWEST_BOXES:
            return scene


def _draw(rng: random.Random, foreign: bool, size: int) -> Scene:
    kind = rng.choices(list(KINDS.values()), [kind.weight for kind in KINDS.values()])[0]
    canvas = Canvas(draw_foreign_style(rng, kind.indoors) if foreign else draw_style(rng, kind.indoors), size)
    placed = _place_all(kind, rng, foreign)
    zoom = 1.0 + rng.random() ** 3 * 0.5
    x, y = rng.random() * (1 - 1 / zoom), rng.random() * 0.35 * (1 - 1 / zoom)
    with canvas.at(-x * zoom, -y * zoom, zoom):
        kind.backdrop(canvas, rng)
        for one in sorted(placed, key=lambda one: -one.depth):
            canvas.haze = one.haze
            with canvas.at(one.x, one.y, one.height, one.angle, one.flip):
                one.thing.draw(canvas, rng)
    image, seen = canvas.finish(rng)
    return Scene(
        image,
        np.array([box for _, box in seen], dtype=np.float32).reshape(-1, 4),
        tuple(part.label for part, _ in seen),
        _rows_of_parents(canvas, [part for part, _ in seen]),
        kind.name,
    )


def _rows_of_parents(canvas: Canvas, kept: list[Part]) -> np.ndarray:
    """Row of the nearest ancestor that can be seen, -1 for none."""
    rows = {part.number: row for row, part in enumerate(kept)}
    parents = []
    for part in kept:
        number = part.parent
        while number and number not in rows:
            number = canvas.parent_of(number)
        parents.append(rows.get(number, -1))
    return np.array(parents, dtype=np.int64)


def _place_all(kind: Kind, rng: random.Random, foreign: bool) -> list[Placed]:
    placed: list[Placed] = []
    for role in kind.roles:
        count = rng.choices(range(len(role.counts)), role.counts)[0]
        for _ in range(count):
            name = rng.choices(list(role.cast), list(role.cast.values()))[0]
            _place(THINGS[name], role, rng, placed)
    if foreign and rng.random() < 0.6:
        guest = THINGS[rng.choice(kind.guests)]
        _place(guest, Role({}, (), (0.04, 0.14), (0.9, 1.2)), rng, placed)
    return placed


def _place(thing: Thing, role: Role, rng: random.Random, placed: list[Placed]) -> None:
    """Find a free place for a thing, or leave it out."""
    supports = [one for one in placed if one.thing.name in role.on]
    if role.on and not supports:
        return
    for _ in range(10):
        nearness = rng.random()
        low, high = role.base
        smallest, largest = role.scale
        scale = smallest + (largest - smallest) * (0.7 * nearness + 0.3 * rng.random())
        height = thing.height * scale
        if supports:
            support = rng.choice(supports)
            room = 0.5 * support.thing.aspect * support.height - 0.4 * thing.aspect * height
            x = support.x + rng.uniform(-1, 1) * max(room, 0)
            y = support.y + support.height * (support.thing.surface or 1.0)
            depth = support.depth - 1e-3
        else:
            x, y = rng.uniform(0.06, 0.94), high + (low - high) * nearness
            depth = y
        angle = rng.uniform(-thing.tilt, thing.tilt)
        one = Placed(thing, x, y, height, angle, rng.random() < 0.5, role.haze, depth)
        if not any(_too_close(one, other) for other in placed):
            placed.append(one)
            return


def _too_close(one: Placed, other: Placed) -> bool:
    """Whether one of the two would lie (almost) inside the box of the other."""
    a, b = one.box, other.box
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height > CONTAINED * smaller
