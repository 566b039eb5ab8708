"""Things on wheels, seen from the side, heading right; unit: their height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.creatures import bust
from hf_hyperbolic.data.scenes.shapes import glazing, spokes, wheel
from hf_hyperbolic.data.scenes.style import LAMPLIGHT, dark, mix, pale
from hf_hyperbolic.data.scenes.thing import thing


def seat_window(canvas: Canvas, rng: random.Random, x0: float, y0: float, x1: float, y1: float, taken: float) -> None:
    """A window with, now and then, a passenger behind it."""
    with canvas.part("side window"):
        glazing(canvas, rng, x0, y0, x1, y1)
        if rng.random() < taken:
            height = 0.86 * (y1 - y0)
            with canvas.at((x0 + x1) / 2, y0 + 0.2 * height, 0.98 * height):
                bust(canvas, rng)


def headlight(canvas: Canvas, x: float, y: float, radius: float) -> None:
    with canvas.part("headlight"):
        canvas.ellipse(x, y, radius, radius * 1.2, canvas.style["metal"])
        canvas.ellipse(x, y, radius * 0.72, radius * 0.9, (255, 244, 196), lit=True)


@thing("car", aspect=2.3, height=0.19)
def car(canvas: Canvas, rng: random.Random) -> None:
    paint = canvas.style.accent(rng)
    trunk = rng.choice((-0.95, -0.75, -0.6))
    canvas.polygon(((trunk, 0.55), (-0.48, 0.98), (0.28, 0.98), (0.62, 0.55)), paint)
    canvas.rounded(-1.12, 0.16, 1.12, 0.60, 0.14, paint)
    canvas.rectangle(-1.08, 0.2, 1.08, 0.28, dark(paint, 0.25))
    for x0, x1, l0, l1 in ((trunk + 0.14, -0.10, -0.42, -0.10), (-0.02, 0.48, -0.02, 0.24)):
        with canvas.part("side window"):
            glass, lit = canvas.style.pane(rng)
            canvas.polygon(((x0, 0.58), (x1, 0.58), (l1, 0.90), (l0, 0.90)), glass, lit)
            if rng.random() < 0.35:
                with canvas.at((x0 + x1) / 2, 0.6, 0.3):
                    bust(canvas, rng)
    with canvas.part("vehicle door"):
        canvas.rounded(-0.40, 0.22, 0.14, 0.57, 0.06, dark(paint, 0.1))
        with canvas.part("handle"):
            canvas.rounded(-0.36, 0.44, -0.18, 0.51, 0.03, pale(canvas.style["metal"], 0.4))
    headlight(canvas, 1.02, 0.44, 0.09)
    with canvas.part("taillight"):
        canvas.rounded(-1.12, 0.36, -1.0, 0.54, 0.04, (214, 50, 46))
    wheel(canvas, rng, -0.66, 0.2, 0.21)
    wheel(canvas, rng, 0.66, 0.2, 0.21)


@thing("bus", aspect=2.1, height=0.30)
def bus(canvas: Canvas, rng: random.Random) -> None:
    paint, band = canvas.style.accent(rng), canvas.style.accent(rng)
    canvas.rounded(-1.04, 0.12, 1.04, 0.98, 0.1, paint)
    canvas.rectangle(-1.03, 0.30, 1.03, 0.40, band)
    canvas.rectangle(-0.98, 0.93, 0.98, 0.98, dark(paint, 0.2))
    doors = rng.choice((0, 2))
    slots = [-0.96 + 0.40 * k for k in range(4)]
    for k, x in enumerate(slots):
        if k == doors:
            with canvas.part("vehicle door"):
                canvas.rectangle(x + 0.02, 0.16, x + 0.34, 0.86, dark(paint, 0.35))
                for a, b in ((0.05, 0.165), (0.195, 0.31)):
                    glazing(canvas, rng, x + a, 0.22, x + b, 0.82)
        else:
            seat_window(canvas, rng, x, 0.48, x + 0.34, 0.86, 0.3)
    with canvas.part("windscreen"):
        glazing(canvas, rng, 0.72, 0.44, 1.02, 0.88)
    headlight(canvas, 0.96, 0.26, 0.06)
    wheel(canvas, rng, -0.62, 0.14, 0.15)
    wheel(canvas, rng, 0.60, 0.14, 0.15)


@thing("truck", aspect=2.2, height=0.27)
def truck(canvas: Canvas, rng: random.Random) -> None:
    cargo, paint = canvas.style.accent(rng), canvas.style.accent(rng)
    canvas.rectangle(-1.1, 0.16, 1.0, 0.26, canvas.style["steel"])
    with canvas.part("container"):
        canvas.rectangle(-1.1, 0.26, 0.38, 1.0, cargo)
        for k in range(1, 8):
            x = -1.1 + 1.48 * k / 8
            canvas.stroke(((x, 0.29), (x, 0.97)), 0.02, dark(cargo, 0.15))
    with canvas.part("cab"):
        canvas.polygon(((0.44, 0.16), (1.1, 0.16), (1.1, 0.48), (0.96, 0.82), (0.44, 0.82)), paint)
        with canvas.part("side window"):
            colour, lit = canvas.style.pane(rng)
            canvas.polygon(((0.62, 0.5), (1.02, 0.5), (0.91, 0.76), (0.62, 0.76)), colour, lit)
            if rng.random() < 0.6:
                with canvas.at(0.76, 0.5, 0.25):
                    bust(canvas, rng)
        headlight(canvas, 1.03, 0.3, 0.06)
    for x in (-0.78, -0.42, 0.76):
        wheel(canvas, rng, x, 0.16, 0.17)


@thing("bicycle", aspect=1.55, height=0.19)
def bicycle(canvas: Canvas, rng: random.Random) -> None:
    paint = canvas.style.accent(rng)
    for x in (-0.44, 0.44):
        with canvas.at(x, 0.33), canvas.part("wheel"):
            ring = [*spokes(20, 0.295), (0.295, 0.0)]
            canvas.stroke(ring, 0.055, canvas.style["rubber"])
            for px, py in spokes(5, 0.27, rng.random()):
                canvas.stroke(((0, 0), (px, py)), 0.016, canvas.style["metal"])
            with canvas.part("hub"):
                canvas.ellipse(0, 0, 0.085, 0.085, canvas.style["metal"])
    canvas.stroke(((-0.44, 0.33), (-0.16, 0.72), (0.30, 0.72), (-0.02, 0.30), (-0.44, 0.33)), 0.05, paint)
    canvas.stroke(((-0.02, 0.30), (-0.20, 0.84)), 0.05, paint)
    canvas.stroke(((0.44, 0.33), (0.28, 0.86)), 0.05, paint)
    with canvas.part("pedal"):
        canvas.ellipse(-0.02, 0.30, 0.09, 0.09, canvas.style["steel"])
        canvas.stroke(((-0.02, 0.30), (0.08, 0.16)), 0.04, canvas.style["steel"])
    with canvas.part("saddle"):
        canvas.rounded(-0.36, 0.83, -0.06, 0.92, 0.04, dark(canvas.style["wood"], 0.4))
    with canvas.part("handlebar"):
        canvas.stroke(((0.28, 0.84), (0.26, 0.95), (0.40, 0.97)), 0.055, canvas.style["steel"])


@thing("tractor", aspect=1.35, height=0.26)
def tractor(canvas: Canvas, rng: random.Random) -> None:
    paint = canvas.style.accent(rng)
    with canvas.part("smokestack"):
        canvas.rectangle(0.28, 0.5, 0.34, 0.86, canvas.style["steel"])
    canvas.rounded(-0.1, 0.26, 0.64, 0.60, 0.07, paint)
    for y in (0.36, 0.44, 0.52):
        canvas.stroke(((0.48, y), (0.62, y)), 0.025, dark(paint, 0.4))
    with canvas.part("cabin"):
        canvas.polygon(((-0.52, 0.4), (0.02, 0.4), (-0.04, 0.98), (-0.46, 0.98)), paint)
        with canvas.part("side window"):
            colour, lit = canvas.style.pane(rng)
            canvas.polygon(((-0.42, 0.52), (-0.06, 0.52), (-0.10, 0.88), (-0.38, 0.88)), colour, lit)
            if rng.random() < 0.7:
                with canvas.at(-0.24, 0.54, 0.32):
                    bust(canvas, rng)
        canvas.rectangle(-0.52, 0.93, 0.02, 1.0, dark(paint, 0.3))
    headlight(canvas, 0.6, 0.5, 0.05)
    wheel(canvas, rng, -0.34, 0.3, 0.31)
    wheel(canvas, rng, 0.44, 0.18, 0.19)


@thing("train", aspect=3.3, height=0.25)
def train(canvas: Canvas, rng: random.Random) -> None:
    paint, trim = canvas.style.accent(rng), canvas.style.accent(rng)
    canvas.rectangle(-1.6, 0.16, 1.5, 0.22, canvas.style["steel"])
    _wagon(canvas, rng, -1.62, 0.0, mix(paint, trim, 0.15), taken=0.2)
    with canvas.part("locomotive"):
        with canvas.part("smokestack"):
            canvas.polygon(((1.16, 0.6), (1.30, 0.6), (1.36, 1.0), (1.10, 1.0)), dark(canvas.style["steel"], 0.2))
        canvas.ellipse(0.86, 0.66, 0.10, 0.14, canvas.style["brass"])
        canvas.rounded(0.42, 0.26, 1.46, 0.68, 0.1, paint)
        for x in (0.72, 1.02):
            canvas.rectangle(x, 0.26, x + 0.035, 0.68, dark(paint, 0.35))
        with canvas.part("cabin"):
            canvas.rectangle(0.12, 0.2, 0.58, 0.88, dark(paint, 0.15))
            seat_window(canvas, rng, 0.22, 0.48, 0.50, 0.80, 0.3)
            with canvas.part("roof"):
                canvas.rounded(0.07, 0.86, 0.63, 0.95, 0.04, trim)
        canvas.polygon(((1.42, 0.2), (1.64, 0.04), (1.42, 0.04)), trim)
        headlight(canvas, 1.46, 0.56, 0.055)
        for x, r in ((0.34, 0.16), (0.76, 0.16), (1.16, 0.13)):
            wheel(canvas, rng, x, r, r)


def _wagon(
    canvas: Canvas, rng: random.Random, x0: float, y0: float, paint: tuple[float, float, float], taken: float
) -> None:
    with canvas.at(x0, y0), canvas.part("wagon"):
        canvas.rounded(0.0, 0.2, 1.64, 0.84, 0.06, paint)
        canvas.rectangle(0.0, 0.36, 1.64, 0.42, pale(paint, 0.5))
        with canvas.part("roof"):
            canvas.rounded(-0.03, 0.80, 1.67, 0.91, 0.05, dark(paint, 0.4))
        doorway = rng.choice((0, 3))
        for k in range(4):
            x = 0.09 + 0.38 * k
            if k == doorway:
                with canvas.part("vehicle door"):
                    canvas.rectangle(x + 0.03, 0.22, x + 0.29, 0.76, dark(paint, 0.25))
                    canvas.rectangle(x + 0.08, 0.48, x + 0.24, 0.70, LAMPLIGHT, lit=canvas.style.light.dark)
            else:
                seat_window(canvas, rng, x, 0.46, x + 0.30, 0.76, taken)
        for x in (0.34, 1.30):
            wheel(canvas, rng, x, 0.13, 0.13)
