"""What can stand in a scene: a name, a drawing function, and the proportions a composition needs to place it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from hf_hyperbolic.data.scenes.canvas import Canvas

Draw = Callable[[Canvas, random.Random], None]


@dataclass(frozen=True)
class Thing:
    """An object that scenes are composed of.

    Attributes:
        name: its class.
        draw: draws it in a frame whose origin is the middle of its foot and whose unit is its height.
        aspect: width over height.
        height: usual height as a share of the image side.
        tilt: largest rotation in radians.
        surface: height (in its own unit) at which other things may stand on it.
    """

    name: str
    draw: Draw
    aspect: float
    height: float
    tilt: float = 0.0
    surface: float | None = None


THINGS: dict[str, Thing] = {}


def thing(
    name: str, aspect: float, height: float, tilt: float = 0.0, surface: float | None = None
) -> Callable[[Draw], Draw]:
    """Register a drawing function; it is called inside a part of this name."""

    def register(draw: Draw) -> Draw:
        def labelled(canvas: Canvas, rng: random.Random) -> None:
            with canvas.part(name):
                draw(canvas, rng)

        THINGS[name] = Thing(name, labelled, aspect, height, tilt, surface)
        return labelled

    return register
