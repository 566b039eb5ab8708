"""What floats and what flies; unit: their height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.creatures import bust
from hf_hyperbolic.data.scenes.shapes import flag, glazing, spokes, window
from hf_hyperbolic.data.scenes.style import dark, mix, pale
from hf_hyperbolic.data.scenes.thing import thing


def sailor(canvas: Canvas, rng: random.Random, x: float, y: float, height: float) -> None:
    with canvas.at(x, y, height):
        bust(canvas, rng)


@thing("sailboat", aspect=0.82, height=0.40, tilt=0.09)
def sailboat(canvas: Canvas, rng: random.Random) -> None:
    cloth, stripe = canvas.style["paper"], canvas.style.accent(rng)
    with canvas.part("mast"):
        canvas.stroke(((0.0, 0.14), (0.0, 0.97)), 0.022, canvas.style["wood"])
    with canvas.part("sail"):
        belly = rng.uniform(0.30, 0.40)
        canvas.polygon(((0.02, 0.94), (0.02, 0.35), (belly, 0.35), (0.8 * belly, 0.53), (0.45 * belly, 0.76)), cloth)
        canvas.polygon(((0.02, 0.62), (0.02, 0.53), (0.8 * belly, 0.53), (0.68 * belly, 0.62)), stripe)
        if rng.random() < 0.5:
            with canvas.part("emblem"):
                canvas.ellipse(0.42 * belly, 0.44, 0.055, 0.055, stripe)
    if rng.random() < 0.75:
        with canvas.part("sail"):
            canvas.polygon(((-0.02, 0.86), (-0.02, 0.35), (-0.34, 0.35)), mix(stripe, cloth, 0.4))
    if rng.random() < 0.6:
        with canvas.part("flag"):
            canvas.polygon(((0, 1.0), (0, 0.93), (-0.14, 0.965)), canvas.style.accent(rng))
    if rng.random() < 0.6:
        sailor(canvas, rng, rng.choice((-0.22, 0.22)), 0.17, 0.17)
    with canvas.part("hull"):
        wood = canvas.style.accent(rng)
        canvas.polygon(((-0.42, 0.20), (0.42, 0.20), (0.30, 0.02), (-0.30, 0.02)), wood)
        canvas.polygon(((-0.42, 0.20), (0.42, 0.20), (0.39, 0.155), (-0.39, 0.155)), pale(wood, 0.5))


@thing("ship", aspect=1.9, height=0.36)
def ship(canvas: Canvas, rng: random.Random) -> None:
    paint, funnel = canvas.style.accent(rng), canvas.style.accent(rng)
    flag(canvas, rng, -0.78, 0.40, 0.34)
    for x in rng.choice(((0.0,), (-0.2, 0.14))):
        with canvas.part("smokestack"):
            canvas.polygon(((x - 0.085, 0.66), (x + 0.085, 0.66), (x + 0.06, 0.98), (x - 0.10, 0.98)), funnel)
            canvas.polygon(
                ((x - 0.095, 0.88), (x + 0.065, 0.88), (x + 0.06, 0.98), (x - 0.10, 0.98)), dark(funnel, 0.6)
            )
    with canvas.part("cabin"):
        white = canvas.style["paper"]
        canvas.rectangle(-0.5, 0.36, 0.5, 0.56, white)
        canvas.rectangle(-0.34, 0.55, 0.40, 0.74, dark(white, 0.08))
        window(canvas, rng, 0.14, 0.58, 0.36, 0.71, canvas.style["steel"], (2, 1))
        for x in (-0.38, -0.16, 0.06, 0.28):
            with canvas.part("porthole"):
                canvas.ellipse(x, 0.455, 0.062, 0.062, canvas.style["brass"])
                colour, lit = canvas.style.pane(rng)
                canvas.ellipse(x, 0.455, 0.042, 0.042, colour, lit)
    if rng.random() < 0.6:
        sailor(canvas, rng, 0.68, 0.36, 0.2)
    with canvas.part("hull"):
        canvas.polygon(((-0.86, 0.40), (0.95, 0.44), (0.74, 0.02), (-0.74, 0.02)), paint)
        canvas.polygon(((-0.79, 0.12), (0.79, 0.12), (0.74, 0.02), (-0.74, 0.02)), mix(paint, (160, 50, 50), 0.6))
        canvas.polygon(((-0.86, 0.40), (0.95, 0.44), (0.93, 0.39), (-0.85, 0.35)), pale(paint, 0.6))
        for x in (-0.5, -0.2, 0.1):
            with canvas.part("porthole"):
                canvas.ellipse(x, 0.24, 0.06, 0.06, pale(canvas.style["metal"], 0.3))
                colour, lit = canvas.style.pane(rng)
                canvas.ellipse(x, 0.24, 0.04, 0.04, colour, lit)
        with canvas.part("anchor"):
            canvas.stroke(((0.62, 0.33), (0.62, 0.16)), 0.025, canvas.style["rubber"])
            canvas.stroke(((0.54, 0.22), (0.57, 0.16), (0.67, 0.16), (0.70, 0.22)), 0.025, canvas.style["rubber"])


@thing("rowboat", aspect=2.4, height=0.15)
def rowboat(canvas: Canvas, rng: random.Random) -> None:
    for x in rng.choice(((0.0,), (-0.4, 0.35))):
        sailor(canvas, rng, x, 0.40, 0.62)
    with canvas.part("hull"):
        wood = mix(canvas.style["wood"], canvas.style.accent(rng), 0.4)
        canvas.polygon(((-1.1, 0.52), (1.1, 0.52), (0.8, 0.03), (-0.8, 0.03)), wood)
        canvas.stroke(((-1.08, 0.48), (1.08, 0.48)), 0.09, dark(wood, 0.3))
        canvas.stroke(((-0.94, 0.28), (0.94, 0.28)), 0.04, dark(wood, 0.2))
    with canvas.part("oar"):
        canvas.stroke(((0.0, 0.62), (0.5, 0.16)), 0.06, pale(canvas.style["wood"], 0.3))
        canvas.stroke(((0.46, 0.2), (0.62, 0.04)), 0.15, pale(canvas.style["wood"], 0.3))


@thing("airplane", aspect=2.3, height=0.16, tilt=0.2)
def airplane(canvas: Canvas, rng: random.Random) -> None:
    body, trim = pale(canvas.style["paper"], 0.3), canvas.style.accent(rng)
    with canvas.part("tail"):
        canvas.polygon(((-0.98, 0.5), (-1.14, 0.98), (-0.88, 0.98), (-0.60, 0.56)), trim)
        canvas.polygon(((-1.0, 0.46), (-1.2, 0.62), (-1.0, 0.62), (-0.7, 0.5)), dark(trim, 0.25))
    canvas.polygon(
        ((-1.05, 0.52), (-0.6, 0.26), (0.7, 0.26), (1.0, 0.34), (1.14, 0.46), (0.95, 0.58), (0.7, 0.64), (-0.7, 0.62)),
        body,
    )
    canvas.polygon(((-1.02, 0.50), (-0.78, 0.37), (1.06, 0.38), (1.12, 0.45)), trim)
    for k in range(rng.choice((3, 4))):
        with canvas.part("cockpit"):
            colour, lit = canvas.style.pane(rng)
            canvas.rounded(-0.5 + 0.3 * k, 0.46, -0.34 + 0.3 * k, 0.60, 0.05, dark(colour, 0.3) if not lit else colour)
    with canvas.part("windscreen"):
        colour, lit = canvas.style.pane(rng)
        canvas.polygon(((0.78, 0.5), (1.04, 0.5), (0.93, 0.6), (0.78, 0.62)), dark(colour, 0.35), lit)
    with canvas.part("wing"):
        canvas.polygon(((0.3, 0.36), (-0.16, 0.36), (-0.66, 0.0), (-0.36, 0.0)), dark(body, 0.25))
        with canvas.part("engine"):
            canvas.rounded(-0.30, 0.06, 0.08, 0.21, 0.07, trim)


@thing("balloon", aspect=0.7, height=0.36, tilt=0.06)
def balloon(canvas: Canvas, rng: random.Random) -> None:
    first, second = canvas.style.accent(rng), canvas.style.accent(rng)
    with canvas.part("envelope"):
        canvas.ellipse(0, 0.66, 0.34, 0.34, first)
        canvas.polygon(((-0.31, 0.54), (0.31, 0.54), (0.09, 0.26), (-0.09, 0.26)), first)
        canvas.ellipse(0, 0.66, 0.20, 0.34, second)
        canvas.polygon(((-0.185, 0.54), (0.185, 0.54), (0.055, 0.26), (-0.055, 0.26)), second)
        canvas.ellipse(0, 0.66, 0.08, 0.34, first)
        canvas.polygon(((-0.075, 0.54), (0.075, 0.54), (0.022, 0.26), (-0.022, 0.26)), first)
    for x in (-0.07, 0.07):
        canvas.stroke(((x, 0.27), (x, 0.13)), 0.012, canvas.style["steel"])
    with canvas.part("basket"):
        if rng.random() < 0.8:
            sailor(canvas, rng, 0, 0.12, 0.12)
        wicker = canvas.style["straw"]
        canvas.polygon(((-0.10, 0.14), (0.10, 0.14), (0.08, 0.0), (-0.08, 0.0)), dark(wicker, 0.2))
        canvas.stroke(((-0.095, 0.13), (0.095, 0.13)), 0.025, dark(wicker, 0.5))
        canvas.stroke(((-0.085, 0.06), (0.085, 0.06)), 0.012, dark(wicker, 0.45))


@thing("helicopter", aspect=1.9, height=0.22, tilt=0.12)
def helicopter(canvas: Canvas, rng: random.Random) -> None:
    paint = canvas.style.accent(rng)
    steel = canvas.style["steel"]
    with canvas.part("tail"):
        canvas.polygon(((-0.1, 0.60), (-0.92, 0.60), (-0.92, 0.52), (-0.1, 0.40)), dark(paint, 0.15))
        canvas.polygon(((-0.78, 0.56), (-0.96, 0.80), (-0.84, 0.80), (-0.66, 0.58)), paint)
        with canvas.part("propeller"):
            for x, y in spokes(4, 0.30, rng.random()):
                canvas.stroke(((-0.9, 0.56), (-0.9 + x, 0.56 + y)), 0.06, steel)
    canvas.ellipse(0.22, 0.46, 0.46, 0.30, paint)
    canvas.ellipse(0.22, 0.34, 0.40, 0.16, dark(paint, 0.2))
    with canvas.part("cockpit"):
        glazing(canvas, rng, 0.02, 0.44, 0.22, 0.64)
    with canvas.part("windscreen"):
        colour, lit = canvas.style.pane(rng)
        canvas.polygon(((0.32, 0.44), (0.66, 0.44), (0.56, 0.62), (0.32, 0.70)), colour, lit)
    with canvas.part("skid"):
        for x in (0.04, 0.42):
            canvas.stroke(((x, 0.26), (x, 0.07)), 0.035, steel)
        canvas.stroke(((-0.2, 0.06), (0.62, 0.06), (0.7, 0.12)), 0.045, steel)
    canvas.rectangle(0.18, 0.74, 0.26, 0.9, steel)
    with canvas.part("rotor"):
        reach = rng.uniform(0.55, 0.72)
        canvas.stroke(((0.22 - reach, 0.92), (0.22 + reach, 0.92)), 0.045, dark(steel, 0.2))
        canvas.ellipse(0.22, 0.92, 0.07, 0.05, steel)
