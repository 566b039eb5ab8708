"""Small things that many objects are made of: wheels, windows, doors, flags."""

import math
import random

from hf_hyperbolic.data.scenes.canvas import Canvas, Point
from hf_hyperbolic.data.scenes.style import RGB, dark, pale


def spokes(count: int, radius: float, phase: float = 0.0) -> list[Point]:
    """Points at equal angles on a circle around the origin."""
    turn = 2 * math.pi / count
    return [(radius * math.cos(phase + turn * k), radius * math.sin(phase + turn * k)) for k in range(count)]


def wheel(canvas: Canvas, rng: random.Random, x: float, y: float, radius: float) -> None:
    """A tyre with a hub."""
    with canvas.at(x, y, radius), canvas.part("wheel"):
        canvas.ellipse(0, 0, 1, 1, canvas.style["rubber"])
        with canvas.part("hub"):
            canvas.ellipse(0, 0, 0.55, 0.55, pale(canvas.style["metal"], 0.3))
            canvas.ellipse(0, 0, 0.2, 0.2, canvas.style["steel"])


def glazing(canvas: Canvas, rng: random.Random, x0: float, y0: float, x1: float, y1: float) -> None:
    """Glass with a slanting reflection, no frame."""
    colour, lit = canvas.style.pane(rng)
    canvas.rectangle(x0, y0, x1, y1, colour, lit)
    if not lit and not canvas.style.outline:
        w, h = x1 - x0, y1 - y0
        shine = (
            (x0 + 0.15 * w, y0),
            (x0 + 0.45 * w, y0),
            (x0 + 0.85 * w, y1 - 0.05 * h),
            (x0 + 0.55 * w, y1 - 0.05 * h),
        )
        canvas.polygon(shine, pale(colour, 0.35))


def panes(
    canvas: Canvas, rng: random.Random, x0: float, y0: float, x1: float, y1: float, frame: RGB, grid: tuple[int, int]
) -> None:
    """A frame around one sheet of glass or a grid of panes (columns, rows), each a part of its own."""
    canvas.rectangle(x0, y0, x1, y1, frame)
    border = 0.09 * min(x1 - x0, y1 - y0)
    columns, rows = grid
    if rng.random() < 0.5:  # a single sheet of glass is the window itself, no pane
        glazing(canvas, rng, x0 + border, y0 + border, x1 - border, y1 - border)
        return
    w, h = (x1 - x0 - border) / columns, (y1 - y0 - border) / rows
    for i in range(columns):
        for j in range(rows):
            left, low = x0 + border + i * w, y0 + border + j * h
            with canvas.part("pane"):
                glazing(canvas, rng, left, low, left + w - border, low + h - border)


def window(
    canvas: Canvas,
    rng: random.Random,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    frame: RGB,
    grid: tuple[int, int] = (2, 1),
) -> None:
    """A framed window in a facade."""
    with canvas.part("window"):
        panes(canvas, rng, x0, y0, x1, y1, frame, grid)


def door(canvas: Canvas, rng: random.Random, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
    """A panelled door with a knob."""
    w, h = x1 - x0, y1 - y0
    with canvas.part("door"):
        canvas.rectangle(x0, y0, x1, y1, dark(colour, 0.35))
        canvas.rectangle(x0 + 0.08 * w, y0, x1 - 0.08 * w, y1 - 0.05 * h, colour)
        for low, high in ((0.1, 0.42), (0.52, 0.88)):
            canvas.rectangle(x0 + 0.24 * w, y0 + low * h, x0 + 0.66 * w, y0 + high * h, dark(colour, 0.15))
        with canvas.part("knob"):
            canvas.ellipse(x0 + 0.79 * w, y0 + 0.46 * h, 0.11 * w, 0.11 * w, canvas.style["brass"])


def flag(canvas: Canvas, rng: random.Random, x: float, y: float, height: float) -> None:
    """A flag on a pole that stands at (x, y); the flag takes the upper third of `height`."""
    canvas.stroke(((x, y), (x, y + height)), 0.05 * height, canvas.style["steel"])
    first, second = canvas.style.accent(rng), canvas.style.accent(rng)
    side = rng.choice((-1, 1))
    w, low, top = 0.6 * height * side, y + 0.6 * height, y + height
    with canvas.part("flag"):
        middle = (low + top) / 2
        wave = 0.06 * height
        canvas.polygon(
            ((x, top), (x + w / 2, top - wave), (x + w, top), (x + w, low), (x + w / 2, low - wave), (x, low)), first
        )
        canvas.polygon(((x, middle + wave), (x + w, middle + wave), (x + w, middle - wave), (x, middle - wave)), second)


def planks(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: RGB, count: int) -> None:
    """Boards side by side, upright."""
    canvas.rectangle(x0, y0, x1, y1, colour)
    for k in range(1, count):
        x = x0 + (x1 - x0) * k / count
        canvas.stroke(((x, y0), (x, y1)), 0.008, dark(colour, 0.2))
