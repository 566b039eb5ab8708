"""Furniture and what stands on it, seen from the front; unit: its height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.outdoors import FRUITS, flower
from hf_hyperbolic.data.scenes.shapes import panes, spokes
from hf_hyperbolic.data.scenes.style import LAMPLIGHT, RGB, dark, hsv, mix, pale
from hf_hyperbolic.data.scenes.thing import thing


def legs(canvas: Canvas, xs: tuple[float, ...], top: float, width: float, colour: RGB) -> None:
    """Legs at the given places, each a part."""
    for x in xs:
        with canvas.part("foot"):
            canvas.polygon(((x - width / 2, top), (x + width / 2, top), (x + width / 3, 0), (x - width / 3, 0)), colour)


def handle(canvas: Canvas, x: float, y: float, w: float, h: float) -> None:
    with canvas.part("handle"):
        canvas.rounded(x - w / 2, y - h / 2, x + w / 2, y + h / 2, min(w, h) * 0.4, canvas.style["brass"])


@thing("table", aspect=1.7, height=0.24, surface=0.97)
def table(canvas: Canvas, rng: random.Random) -> None:
    wood = canvas.style.vary(canvas.style["wood"], rng, 0.2)
    for x in (-0.54, 0.46):
        canvas.rectangle(x, 0.04, x + 0.08, 0.82, dark(wood, 0.4))
    legs(canvas, (-0.7, 0.7), 0.82, 0.12, dark(wood, 0.15))
    if rng.random() < 0.45:
        with canvas.part("drawer"):
            canvas.rectangle(-0.3, 0.60, 0.3, 0.82, dark(wood, 0.1))
            handle(canvas, 0, 0.71, 0.2, 0.08)
    canvas.rounded(-0.85, 0.82, 0.85, 0.97, 0.05, wood)
    if rng.random() < 0.35:
        with canvas.part("tablecloth"):
            cloth = canvas.style.accent(rng)
            canvas.polygon(
                ((-0.5, 0.99), (0.5, 0.99), (0.5, 0.66), (0.25, 0.56), (0, 0.66), (-0.25, 0.56), (-0.5, 0.66)), cloth
            )
            canvas.rectangle(-0.5, 0.78, 0.5, 0.84, pale(cloth, 0.5))


@thing("chair", aspect=0.58, height=0.27)
def chair(canvas: Canvas, rng: random.Random) -> None:
    wood = mix(canvas.style["wood"], canvas.style.accent(rng), rng.choice((0.0, 0.7)))
    for x in (-0.20, 0.14):
        canvas.rectangle(x, 0.04, x + 0.06, 0.44, dark(wood, 0.4))
    with canvas.part("back"):
        for x in (-0.22, 0.18):
            canvas.rectangle(x, 0.44, x + 0.05, 1.0, dark(wood, 0.1))
        if rng.random() < 0.5:
            for y in (0.62, 0.76, 0.90):
                canvas.rectangle(-0.2, y, 0.2, y + 0.07, wood)
        else:
            canvas.rounded(-0.21, 0.6, 0.21, 1.0, 0.08, wood)
    legs(canvas, (-0.24, 0.24), 0.44, 0.07, dark(wood, 0.15))
    with canvas.part("seat"):
        canvas.polygon(((-0.24, 0.54), (0.24, 0.54), (0.29, 0.44), (-0.29, 0.44)), canvas.style.accent(rng))
        canvas.rectangle(-0.29, 0.40, 0.29, 0.44, dark(wood, 0.3))


@thing("lamp", aspect=0.42, height=0.46)
def lamp(canvas: Canvas, rng: random.Random) -> None:
    shade = canvas.style.accent(rng)
    canvas.stroke(((0, 0.03), (0, 0.72)), 0.022, canvas.style["brass"])
    with canvas.part("base"):
        canvas.rounded(-0.12, 0, 0.12, 0.05, 0.02, dark(canvas.style["brass"], 0.3))
    with canvas.part("bulb"):
        canvas.ellipse(0, 0.68, 0.05, 0.06, LAMPLIGHT, lit=True)
    with canvas.part("shade"):
        flare = rng.uniform(0.09, 0.15)
        canvas.polygon(
            ((-0.21, 0.70), (0.21, 0.70), (flare, 1.0), (-flare, 1.0)), mix(shade, LAMPLIGHT, 0.35), lit=True
        )
        canvas.rectangle(-0.21, 0.70, 0.21, 0.725, dark(shade, 0.2))


@thing("sofa", aspect=2.1, height=0.28)
def sofa(canvas: Canvas, rng: random.Random) -> None:
    cloth = canvas.style.accent(rng)
    legs(canvas, (-0.85, 0.85), 0.14, 0.1, dark(canvas.style["wood"], 0.3))
    with canvas.part("back"):
        canvas.rounded(-0.9, 0.3, 0.9, 1.0, 0.14, dark(cloth, 0.12))
        for x in rng.choice(((), (-0.5,), (0.5,), (-0.52, 0.5))):
            with canvas.at(x, 0.68, 1.0, rng.uniform(-0.3, 0.3)), canvas.part("pillow"):
                canvas.rounded(-0.21, -0.18, 0.21, 0.18, 0.06, canvas.style.accent(rng))
    canvas.rounded(-0.9, 0.1, 0.9, 0.36, 0.06, dark(cloth, 0.25))
    seats = rng.choice((2, 3))
    width = 1.56 / seats
    for k in range(seats):
        with canvas.part("seat"):
            x = -0.78 + k * width
            canvas.rounded(x + 0.01, 0.3, x + width - 0.01, 0.52, 0.07, pale(cloth, 0.12))
    for x in (-1.05, 0.79):
        with canvas.part("armrest"):
            canvas.rounded(x, 0.1, x + 0.26, 0.68, 0.11, cloth)


@thing("bed", aspect=2.0, height=0.30)
def bed(canvas: Canvas, rng: random.Random) -> None:
    wood, cover = canvas.style.vary(canvas.style["wood"], rng), canvas.style.accent(rng)
    legs(canvas, (-0.9, 0.92), 0.3, 0.1, dark(wood, 0.3))
    with canvas.part("headboard"):
        canvas.rounded(-1.0, 0.2, -0.84, 1.0, 0.06, wood)
    canvas.rectangle(-0.9, 0.2, 0.96, 0.36, dark(wood, 0.1))
    canvas.rounded(-0.86, 0.34, 0.96, 0.56, 0.08, canvas.style["paper"])
    with canvas.part("pillow"):
        canvas.rounded(-0.84, 0.50, -0.38, 0.74, 0.1, pale(canvas.style.accent(rng), 0.5))
    if rng.random() < 0.45:
        with canvas.at(-0.6, 0.6, 1.0), canvas.part("head"):
            canvas.ellipse(0, 0.12, 0.15, 0.17, (96, 62, 40))
            canvas.ellipse(0.03, 0.10, 0.12, 0.14, (229, 184, 145))
    with canvas.part("blanket"):
        canvas.polygon(((-0.46, 0.66), (0.9, 0.62), (1.0, 0.5), (1.0, 0.24), (-0.5, 0.24)), cover)
        for x in (-0.2, 0.15, 0.5):
            canvas.polygon(((x, 0.645), (x + 0.12, 0.64), (x + 0.12, 0.24), (x, 0.24)), pale(cover, 0.35))


@thing("cupboard", aspect=0.9, height=0.46, surface=1.0)
def cupboard(canvas: Canvas, rng: random.Random) -> None:
    wood = mix(canvas.style["wood"], canvas.style.accent(rng), rng.uniform(0.0, 0.8))
    legs(canvas, (-0.36, 0.36), 0.1, 0.08, dark(wood, 0.4))
    canvas.rectangle(-0.43, 0.06, 0.43, 0.96, wood)
    canvas.rectangle(-0.45, 0.95, 0.45, 1.0, dark(wood, 0.25))
    split = rng.uniform(0.36, 0.46)
    for x0, x1, side in ((-0.39, -0.01, 1), (0.01, 0.39, -1)):
        with canvas.part("cabinet door"):
            canvas.rectangle(x0, split, x1, 0.91, dark(wood, 0.12))
            canvas.rectangle(x0 + 0.06, split + 0.06, x1 - 0.06, 0.85, pale(wood, 0.12))
            handle(canvas, (x1 - 0.045) if side > 0 else (x0 + 0.045), (split + 0.9) / 2, 0.05, 0.15)
    rows = rng.choice((1, 2))
    height = (split - 0.14) / rows
    for row in range(rows):
        with canvas.part("drawer"):
            y = 0.10 + row * height
            canvas.rectangle(-0.39, y, 0.39, y + height - 0.02, pale(wood, 0.1))
            handle(canvas, 0, y + height / 2 - 0.01, 0.16, 0.05)


@thing("bookshelf", aspect=0.75, height=0.50, surface=1.0)
def bookshelf(canvas: Canvas, rng: random.Random) -> None:
    wood = canvas.style.vary(canvas.style["wood"], rng)
    canvas.rectangle(-0.37, 0, 0.37, 1.0, wood)
    rows = 3
    for row in range(rows):
        y, h = 0.05 + 0.315 * row, 0.27
        with canvas.part("shelf"):
            canvas.rectangle(-0.33, y, 0.33, y + h, dark(wood, 0.55))
            x = -0.31
            while x < 0.22 and rng.random() < 0.92:
                w = rng.uniform(0.07, 0.11)
                with canvas.part("book"):
                    colour = canvas.style.accent(rng)
                    top = y + h * rng.uniform(0.68, 0.94)
                    canvas.rectangle(x, y, x + w, top, colour)
                    canvas.rectangle(x, y + 0.6 * (top - y), x + w, y + 0.72 * (top - y), pale(colour, 0.6))
                x += w + rng.choice((0.006, 0.006, 0.12))


@thing("picture", aspect=1.15, height=0.17)
def picture(canvas: Canvas, rng: random.Random) -> None:
    canvas.rectangle(-0.58, 0, 0.58, 1, mix(canvas.style["brass"], canvas.style["wood"], rng.random()))
    with canvas.part("painting"):
        low = rng.uniform(0.35, 0.55)
        canvas.rectangle(-0.48, 0.1, 0.48, 0.9, pale(canvas.style.accent(rng), 0.4))
        canvas.ellipse(rng.uniform(-0.25, 0.25), 0.68, 0.12, 0.12, (248, 214, 120))
        canvas.polygon(
            ((-0.48, 0.1), (0.48, 0.1), (0.48, low), (0.1, low - 0.15), (-0.2, low + 0.12), (-0.48, low - 0.1)),
            canvas.style.accent(rng),
        )


@thing("clock", aspect=1.0, height=0.14)
def clock(canvas: Canvas, rng: random.Random) -> None:
    rim = canvas.style.accent(rng)
    canvas.ellipse(0, 0.5, 0.5, 0.5, dark(rim, 0.2))
    with canvas.part("dial"):
        canvas.ellipse(0, 0.5, 0.4, 0.4, canvas.style["paper"])
        for x, y in spokes(12, 0.33):
            canvas.ellipse(x, 0.5 + y, 0.025, 0.025, canvas.style["rubber"])
        for length, width in ((0.2, 0.06), (0.3, 0.045)):
            x, y = rng.choice(spokes(12, length))
            canvas.stroke(((0, 0.5), (x, 0.5 + y)), width, canvas.style["rubber"])


@thing("vase", aspect=0.62, height=0.19)
def vase(canvas: Canvas, rng: random.Random) -> None:
    clay = canvas.style.accent(rng)
    for angle in rng.choice(((0.0,), (-0.35, 0.3), (-0.45, 0.0, 0.45))):
        with canvas.at(0, 0.34, 0.66, angle):
            flower(canvas, rng)
    with canvas.part("pot"):
        canvas.polygon(((-0.12, 0.44), (0.12, 0.44), (0.19, 0.24), (0.10, 0.0), (-0.10, 0.0), (-0.19, 0.24)), clay)
        canvas.polygon(((-0.17, 0.27), (0.17, 0.27), (0.165, 0.18), (-0.165, 0.18)), pale(clay, 0.5))


@thing("bowl", aspect=1.5, height=0.10)
def bowl(canvas: Canvas, rng: random.Random) -> None:
    china = pale(canvas.style.accent(rng), 0.2)
    for x, y in ((-0.32, 0.62), (0.30, 0.64), (0.0, 0.74)):
        if rng.random() < 0.85:
            with canvas.part("fruit"):
                colour = canvas.style.vary(rng.choice(FRUITS), rng)
                canvas.ellipse(x, y, 0.24, 0.24, colour)
                canvas.ellipse(x - 0.07, y + 0.08, 0.06, 0.06, pale(colour, 0.5))
    canvas.polygon(((-0.75, 0.56), (0.75, 0.56), (0.4, 0.06), (-0.4, 0.06)), china)
    canvas.rectangle(-0.3, 0.0, 0.3, 0.08, dark(china, 0.2))
    canvas.rectangle(-0.62, 0.36, 0.62, 0.44, hsv(rng.random(), 0.3, 0.7))


@thing("window", aspect=0.95, height=0.34)
def wall_window(canvas: Canvas, rng: random.Random) -> None:
    """A window seen from inside, with curtains."""
    frame = pale(canvas.style["wood"], rng.uniform(0.1, 0.7))
    panes(canvas, rng, -0.36, 0.04, 0.36, 0.96, frame, rng.choice(((2, 2), (2, 1), (1, 2))))
    canvas.stroke(((-0.5, 0.97), (0.5, 0.97)), 0.03, canvas.style["brass"])
    if rng.random() < 0.7:
        cloth = canvas.style.accent(rng)
        for side in (-1, 1):
            with canvas.part("curtain"):
                canvas.polygon(((0.24 * side, 0.98), (0.48 * side, 0.98), (0.5 * side, 0.0), (0.34 * side, 0.0)), cloth)
                canvas.stroke(((0.37 * side, 0.94), (0.42 * side, 0.04)), 0.02, dark(cloth, 0.25))
