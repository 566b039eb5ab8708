"""What lies behind everything: sky, hills, water, ground, walls. Nothing here is a part."""

import math
import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.style import RGB, dark, hsv, mix, pale


def sky(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    """Sky down to the horizon, with sun or moon, stars or clouds."""
    top, low = canvas.style.light.sky
    canvas.gradient(horizon - 0.02, 1.01, low, top, lit=True)
    if rng.random() < 0.45:
        x, y, r = rng.uniform(0.1, 0.9), rng.uniform(max(horizon + 0.12, 0.66), 0.95), rng.uniform(0.035, 0.06)
        glow = (250, 246, 220) if canvas.style.light.dark else (255, 236, 160)
        canvas.ellipse(x, y, 1.5 * r, 1.5 * r, mix(mix(low, top, 0.6), glow, 0.35), lit=True)
        canvas.ellipse(x, y, r, r, glow, lit=True)
    if canvas.style.light.dark:
        for _ in range(rng.randint(12, 30)):
            r = rng.uniform(0.0015, 0.004)
            canvas.ellipse(rng.random(), rng.uniform(horizon + 0.1, 1.0), r, r, (255, 250, 220), lit=True)
    else:
        for _ in range(rng.choice((0, 1, 2, 3))):
            cloud(
                canvas, rng, rng.uniform(0.0, 1.0), rng.uniform(max(horizon + 0.18, 0.7), 0.97), rng.uniform(0.05, 0.11)
            )


def cloud(canvas: Canvas, rng: random.Random, x: float, y: float, r: float) -> None:
    white = mix(canvas.style.light.sky[1], (255, 255, 255), 0.65)
    with canvas.at(x, y, r):
        for dx, dy, s in ((-1.1, 0, 0.5), (-0.4, 0.25, 0.7), (0.4, 0.3, 0.62), (1.1, 0.0, 0.48)):
            canvas.ellipse(dx * rng.uniform(0.9, 1.1), dy, 1.25 * s, s, white, lit=True)
        canvas.rounded(-1.6, -0.45, 1.6, 0.05, 0.24, white)


def hills(canvas: Canvas, rng: random.Random, horizon: float, colour: RGB, layers: int = 2) -> None:
    """Rolling hills, paler the farther they are."""
    for layer in range(layers):
        canvas.haze = 1.0 - 0.4 * layer
        phase, wave = rng.uniform(0, 6.28), rng.uniform(4, 9)
        lift = rng.uniform(0.05, 0.14) * (1 - 0.4 * layer)
        ridge = [(k / 20, horizon + lift * (0.6 + 0.4 * math.sin(phase + wave * k / 20))) for k in range(21)]
        canvas.polygon([*ridge, (1, horizon - 0.05), (0, horizon - 0.05)], dark(colour, 0.06 * layer))
    canvas.haze = 0.0


def roofline(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    """A distant town in the haze."""
    canvas.haze = 1.6
    wall = mix(canvas.style.accents[0], canvas.style["stone"], 0.6)
    x = -0.02
    while x < 1:
        w = rng.uniform(0.05, 0.12)
        canvas.rectangle(x, horizon - 0.02, x + w, horizon + rng.uniform(0.06, 0.24), canvas.style.vary(wall, rng))
        x += w * rng.uniform(0.9, 1.1)
    canvas.haze = 0.0


def ground(canvas: Canvas, rng: random.Random, horizon: float, colour: RGB, tufts: int = 0) -> None:
    """Ground up to the horizon, darker near us, with tufts of grass or pebbles."""
    canvas.gradient(
        -0.01,
        horizon,
        dark(colour, 0.12),
        mix(colour, canvas.style.light.sky[1], 0.18 * canvas.style.light.haze + 0.04),
    )
    for _ in range(tufts):
        x, t = rng.random(), rng.random()
        y, s = horizon * (1 - t) * 0.96, 0.006 + 0.014 * t
        canvas.polygon(
            ((x - s, y), (x - s * 0.4, y + s), (x, y), (x + s * 0.5, y + 1.2 * s), (x + s, y)),
            dark(colour, rng.uniform(0.08, 0.2)),
        )


def water(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    """Water with glints that lengthen towards us."""
    colour = canvas.style["water"]
    canvas.gradient(-0.01, horizon, dark(colour, 0.2), pale(colour, 0.25))
    for _ in range(rng.randint(14, 26)):
        t = rng.random()
        x, y, w = rng.random(), horizon * (1 - t) * 0.97, 0.015 + 0.05 * t * rng.random()
        canvas.stroke(((x - w, y), (x + w, y)), 0.003 + 0.004 * t, pale(colour, rng.uniform(0.2, 0.5)))


def road(canvas: Canvas, rng: random.Random, low: float, high: float) -> None:
    """A road across the picture, with a kerb and dashes."""
    asphalt = canvas.style["asphalt"]
    canvas.rectangle(-0.02, low - 0.018, 1.02, high + 0.018, canvas.style["stone"])
    canvas.gradient(low, high, asphalt, pale(asphalt, 0.08))
    middle, shift = (low + high) / 2, rng.random() * 0.2
    for k in range(-1, 6):
        x = k * 0.2 + shift
        canvas.rectangle(x, middle - 0.006, x + 0.1, middle + 0.006, canvas.style["paper"])


def rails(canvas: Canvas, rng: random.Random, y: float) -> None:
    """Sleepers, ballast and two rails."""
    canvas.rectangle(-0.02, y - 0.045, 1.02, y + 0.02, mix(canvas.style["stone"], canvas.style["earth"], 0.5))
    shift = rng.random() * 0.06
    for k in range(-1, 18):
        x = k * 0.06 + shift
        canvas.polygon(
            ((x, y - 0.035), (x + 0.025, y - 0.035), (x + 0.03, y + 0.012), (x + 0.008, y + 0.012)),
            dark(canvas.style["bark"], 0.2),
        )
    for dy in (-0.025, 0.004):
        canvas.stroke(((-0.02, y + dy), (1.02, y + dy)), 0.007, canvas.style["steel"])


def room(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    """A wall, papered or tiled or plain, a skirting board, a floor of boards or tiles, now and then a rug."""
    wall = pale(rng.choice(canvas.style.accents), rng.uniform(0.35, 0.65))
    floor = rng.choice(
        (
            canvas.style["wood"],
            mix(canvas.style["stone"], canvas.style.accents[1], 0.3),
            pale(canvas.style["straw"], 0.1),
        )
    )
    canvas.gradient(horizon, 1.01, wall, dark(wall, 0.08))
    paper = rng.random()
    if paper < 0.3:
        for k in range(12):
            canvas.rectangle(k / 12, horizon, k / 12 + 0.04, 1.01, pale(wall, 0.25))
    elif paper < 0.5:
        shade = dark(wall, 0.06)
        for k in range(14):
            canvas.stroke(((k / 14, horizon), (k / 14, 1)), 0.003, shade)
            canvas.stroke(((0, horizon + k / 14), (1, horizon + k / 14)), 0.003, shade)
    elif paper < 0.65:
        for i in range(9):
            for j in range(5):
                canvas.ellipse(i / 8 + (j % 2) / 16, horizon + 0.06 + j / 8, 0.008, 0.008, pale(wall, 0.4))
    canvas.gradient(-0.01, horizon, dark(floor, 0.08), floor)
    seam = dark(floor, 0.18)
    for k in range(1, 5):
        y = horizon * (1 - (k / 5) ** 1.4)
        canvas.stroke(((0, y), (1, y)), 0.003, seam)
    for k in range(-4, 15):
        x = k / 10
        canvas.stroke(((0.5 + (x - 0.5) * 0.8, horizon), (0.5 + (x - 0.5) * 1.7, 0)), 0.003, seam)
    canvas.rectangle(-0.01, horizon - 0.008, 1.01, horizon + 0.018, pale(wall, 0.6))
    if rng.random() < 0.45:
        rug = rng.choice(canvas.style.accents)
        x, y, w = rng.uniform(0.35, 0.65), horizon * 0.4, rng.uniform(0.26, 0.36)
        for shrink, colour in ((1.0, dark(rug, 0.2)), (0.84, pale(rug, 0.3)), (0.66, rug)):
            canvas.ellipse(x, y, w * shrink, 0.3 * horizon * shrink, colour)


def scaffold(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    """A concrete skeleton behind the building site, in the haze."""
    canvas.haze = 0.8
    x0, floors, bays = rng.uniform(0.0, 0.5), rng.randint(2, 4), rng.randint(2, 4)
    concrete = canvas.style.vary(canvas.style["stone"], rng)
    for floor in range(floors):
        y = horizon + 0.1 * floor
        canvas.rectangle(x0, y + 0.085, x0 + 0.11 * bays + 0.02, y + 0.1, dark(concrete, 0.1))
        for bay in range(bays + 1):
            canvas.rectangle(x0 + 0.11 * bay, y, x0 + 0.11 * bay + 0.02, y + 0.09, concrete)
    canvas.haze = 0.0


def meadow_colour(canvas: Canvas, rng: random.Random) -> RGB:
    """Grass, stubble or earth, as the season has it."""
    base = rng.choice((canvas.style["grass"], canvas.style["grass"], canvas.style["straw"], canvas.style["earth"]))
    return mix(base, hsv(rng.random(), 0.4, 0.7), 0.05)
