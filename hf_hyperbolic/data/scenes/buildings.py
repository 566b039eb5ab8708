"""Buildings, seen from the front; unit: their height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.shapes import door, flag, planks, spokes, window
from hf_hyperbolic.data.scenes.style import LAMPLIGHT, dark, mix, pale
from hf_hyperbolic.data.scenes.thing import thing


@thing("house", aspect=0.95, height=0.44)
def house(canvas: Canvas, rng: random.Random) -> None:
    wall = pale(canvas.style.accent(rng), rng.uniform(0.1, 0.5))
    tiles = dark(mix(canvas.style.accent(rng), (170, 80, 60), 0.5), 0.1)
    frame = pale(canvas.style["paper"], 0.4) if rng.random() < 0.7 else dark(wall, 0.55)
    eaves = rng.uniform(0.52, 0.66)
    half = rng.uniform(0.36, 0.43)
    canvas.rectangle(-half, 0, half, eaves, wall)
    canvas.rectangle(0.55 * half, 0, half, eaves, dark(wall, 0.07))
    canvas.rectangle(-half, 0, half, 0.04, dark(wall, 0.3))
    with canvas.part("roof"):
        if rng.random() < 0.55:
            with canvas.part("chimney"):
                x = rng.choice((-0.6, 0.6)) * half
                canvas.rectangle(x - 0.05, eaves + 0.08, x + 0.05, 0.98, dark(tiles, 0.25))
                canvas.rectangle(x - 0.065, 0.93, x + 0.065, 0.99, dark(tiles, 0.45))
        ridge = rng.choice((0.0, 0.25, 0.3))
        canvas.polygon(
            ((-half - 0.07, eaves - 0.02), (half + 0.07, eaves - 0.02), (ridge, 0.94), (-ridge, 0.94)), tiles
        )
        for k in range(1, 4):
            y, w = eaves - 0.02 + (0.96 - eaves) * k / 4, (half + 0.07) * (1 - k / 4) + ridge * k / 4
            canvas.stroke(((-w, y), (w, y)), 0.008, dark(tiles, 0.2))
    entrance = rng.choice((-0.5, 0.0, 0.5)) * half
    door(canvas, rng, entrance - 0.085, 0.0, entrance + 0.085, 0.31, canvas.style.accent(rng))
    grid = rng.choice(((2, 1), (2, 1), (1, 2), (1, 2), (1, 1), (2, 2)))
    for x in (-0.6 * half, 0.02 * half, 0.6 * half):
        if abs(x - entrance) > 0.2 and rng.random() < 0.9:
            window(canvas, rng, x - 0.10, 0.13, x + 0.10, 0.36, frame, grid)
    if eaves > 0.6:
        window(canvas, rng, -0.08, 0.44, 0.08, 0.58, frame, (2, 1))


@thing("barn", aspect=1.15, height=0.42)
def barn(canvas: Canvas, rng: random.Random) -> None:
    boards = mix(canvas.style.accent(rng), (176, 62, 50), 0.6)
    trim = pale(canvas.style["paper"], 0.3)
    planks(canvas, -0.5, 0, 0.5, 0.55, boards, 12)
    with canvas.part("roof"):
        canvas.polygon(((-0.5, 0.54), (0.5, 0.54), (0.36, 0.80), (0, 0.95), (-0.36, 0.80)), boards)
        window(canvas, rng, -0.1, 0.58, 0.1, 0.76, trim, (2, 2))
        slate = canvas.style.vary(canvas.style["steel"], rng)
        for side in (-1, 1):
            canvas.stroke(((0.56 * side, 0.50), (0.39 * side, 0.82), (0, 0.97)), 0.07, slate)
    with canvas.part("door"):
        canvas.rectangle(-0.22, 0, 0.22, 0.42, trim)
        canvas.rectangle(-0.19, 0, -0.015, 0.39, dark(boards, 0.25))
        canvas.rectangle(0.015, 0, 0.19, 0.39, dark(boards, 0.25))
        for x0, x1 in ((-0.19, -0.015), (0.015, 0.19)):
            canvas.stroke(((x0, 0), (x1, 0.39)), 0.025, trim)
            canvas.stroke(((x0, 0.39), (x1, 0)), 0.025, trim)
    if rng.random() < 0.4:
        for x in (-0.37, 0.37):
            window(canvas, rng, x - 0.07, 0.22, x + 0.07, 0.36, trim, (1, 1))


@thing("skyscraper", aspect=0.38, height=0.72)
def skyscraper(canvas: Canvas, rng: random.Random) -> None:
    wall = mix(canvas.style.accent(rng), canvas.style["stone"], 0.45)
    half = rng.uniform(0.14, 0.18)
    top = rng.uniform(0.80, 0.88)
    canvas.rectangle(-half, 0, half, top, wall)
    canvas.rectangle(0.6 * half, 0, half, top, dark(wall, 0.12))
    if rng.random() < 0.6:
        canvas.rectangle(-0.6 * half, top, 0.6 * half, top + 0.05, dark(wall, 0.2))
        with canvas.part("antenna"):
            canvas.stroke(((0, top + 0.05), (0, 1.0)), 0.02, canvas.style["steel"])
            canvas.ellipse(0, 0.985, 0.022, 0.022, (230, 60, 60), lit=True)
            canvas.stroke(((-0.05, top + 0.09), (0.05, top + 0.09)), 0.014, canvas.style["steel"])
    rows, columns = rng.randint(3, 5), rng.choice((1, 2))
    pitch = (top - 0.2) / rows
    for row in range(rows):
        for column in range(columns):
            w = 1.7 * half / columns
            x0, y0 = -0.85 * half + column * w + 0.08 * w, 0.17 + row * pitch
            window(
                canvas,
                rng,
                x0,
                y0,
                x0 + 0.84 * w,
                y0 + 0.68 * pitch,
                dark(wall, 0.4),
                (1, 1) if columns == 2 else (3, 1),
            )
    door(canvas, rng, -0.05, 0, 0.05, 0.12, dark(canvas.style.accent(rng), 0.2))


@thing("lighthouse", aspect=0.36, height=0.62)
def lighthouse(canvas: Canvas, rng: random.Random) -> None:
    stripe, white = canvas.style.accent(rng), canvas.style["paper"]
    canvas.polygon(((-0.22, 0), (0.22, 0), (0.16, 0.06), (-0.16, 0.06)), canvas.style["stone"])
    bands = rng.choice((4, 5, 6))
    for k in range(bands):
        y0, y1 = 0.05 + 0.66 * k / bands, 0.05 + 0.66 * (k + 1) / bands
        w0, w1 = 0.14 - 0.07 * (y0 - 0.05), 0.14 - 0.07 * (y1 - 0.05)
        canvas.polygon(((-w0, y0), (w0, y0), (w1, y1), (-w1, y1)), white if k % 2 else stripe)
    canvas.rectangle(-0.13, 0.70, 0.13, 0.735, dark(canvas.style["steel"], 0.2))
    with canvas.part("lantern"):
        canvas.rectangle(-0.08, 0.735, 0.08, 0.87, canvas.style["steel"])
        with canvas.part("pane"):
            canvas.rectangle(-0.06, 0.75, 0.06, 0.86, LAMPLIGHT, lit=True)
        canvas.stroke(((0, 0.74), (0, 0.87)), 0.012, canvas.style["steel"])
        with canvas.part("roof"):
            canvas.polygon(((-0.11, 0.87), (0.11, 0.87), (0, 0.99)), dark(stripe, 0.2))
    door(canvas, rng, -0.045, 0.05, 0.045, 0.18, dark(stripe, 0.4))
    for y in (0.33, 0.53):
        window(canvas, rng, -0.04, y, 0.04, y + 0.09, dark(stripe, 0.5), (1, 1))


@thing("windmill", aspect=0.8, height=0.56)
def windmill(canvas: Canvas, rng: random.Random) -> None:
    wall = pale(canvas.style.accent(rng), 0.5)
    canvas.polygon(((-0.2, 0), (0.2, 0), (0.12, 0.6), (-0.12, 0.6)), wall)
    canvas.polygon(((0.06, 0), (0.2, 0), (0.12, 0.6), (0.04, 0.6)), dark(wall, 0.08))
    with canvas.part("roof"):
        canvas.polygon(((-0.15, 0.58), (0.15, 0.58), (0.06, 0.72), (-0.06, 0.72)), dark(canvas.style.accent(rng), 0.2))
    door(canvas, rng, -0.06, 0, 0.06, 0.18, canvas.style["wood"])
    window(canvas, rng, -0.05, 0.30, 0.05, 0.41, canvas.style["wood"], (2, 1))
    timber, cloth = dark(canvas.style["wood"], 0.2), canvas.style["paper"]
    with canvas.at(0, 0.62), canvas.part("rotor"):
        phase = rng.uniform(0, 1.57)
        for k in range(4):
            with canvas.at(0, 0, 1, phase + 1.5708 * k), canvas.part("blade"):
                canvas.rectangle(0.06, 0.0, 0.39, 0.085, cloth)
                for x in (0.14, 0.22, 0.30):
                    canvas.stroke(((x, 0), (x, 0.085)), 0.008, dark(cloth, 0.3))
                canvas.stroke(((0, 0), (0.40, 0)), 0.022, timber)
        canvas.ellipse(0, 0, 0.035, 0.035, dark(timber, 0.3))


@thing("kiosk", aspect=1.0, height=0.30)
def kiosk(canvas: Canvas, rng: random.Random) -> None:
    first, second = canvas.style.accent(rng), canvas.style["paper"]
    canvas.rectangle(-0.42, 0, 0.42, 0.75, dark(canvas.style.accent(rng), 0.45))
    for x in (-0.42, 0.38):
        canvas.rectangle(x, 0, x + 0.04, 0.8, canvas.style["wood"])
    with canvas.part("counter"):
        planks(canvas, -0.46, 0, 0.46, 0.36, canvas.style["wood"], 6)
        canvas.rectangle(-0.48, 0.34, 0.48, 0.40, dark(canvas.style["wood"], 0.25))
    for x in (-0.32, -0.12, 0.08, 0.28):
        if rng.random() < 0.7:
            with canvas.part("fruit"):
                canvas.ellipse(
                    x, 0.46, 0.07, 0.07, rng.choice(((222, 70, 60), (244, 160, 50), (150, 190, 70), (240, 210, 80)))
                )
                canvas.stroke(((x, 0.52), (x + 0.02, 0.56)), 0.015, canvas.style["bark"])
    with canvas.part("awning"):
        for k in range(6):
            x0, x1, t0, t1 = -0.5 + k / 6, -0.5 + (k + 1) / 6, -0.4 + 0.8 * k / 6, -0.4 + 0.8 * (k + 1) / 6
            colour = second if k % 2 else first
            canvas.polygon(((x0, 0.72), (x1, 0.72), (t1, 0.92), (t0, 0.92)), colour)
            canvas.ellipse((x0 + x1) / 2, 0.72, 1 / 12, 0.05, colour)
    if rng.random() < 0.4:
        flag(canvas, rng, 0.0, 0.9, 0.24)


@thing("tent", aspect=1.35, height=0.24)
def tent(canvas: Canvas, rng: random.Random) -> None:
    cloth, stripe = canvas.style.accent(rng), canvas.style.accent(rng)
    canvas.polygon(((-0.66, 0), (0.66, 0), (0.0, 0.9)), cloth)
    canvas.polygon(((0.22, 0), (0.66, 0), (0.0, 0.9)), dark(cloth, 0.14))
    canvas.polygon(((-0.62, 0.06), (-0.48, 0.25), (0.48, 0.25), (0.62, 0.06)), stripe)
    with canvas.part("door"):
        canvas.polygon(((-0.2, 0), (0.2, 0), (0.0, 0.55)), dark(cloth, 0.65))
        canvas.polygon(((-0.2, 0), (-0.08, 0), (0.0, 0.55)), pale(cloth, 0.3))
    if rng.random() < 0.6:
        flag(canvas, rng, 0.0, 0.86, 0.3)


@thing("fountain", aspect=1.2, height=0.24)
def fountain(canvas: Canvas, rng: random.Random) -> None:
    stone, water = canvas.style["stone"], pale(canvas.style["water"], 0.35)
    with canvas.part("basin"):
        canvas.polygon(((-0.6, 0.24), (0.6, 0.24), (0.5, 0), (-0.5, 0)), stone)
        canvas.ellipse(0, 0.25, 0.6, 0.09, pale(stone, 0.3))
        canvas.ellipse(0, 0.25, 0.53, 0.06, water)
    canvas.rectangle(-0.06, 0.25, 0.06, 0.55, dark(stone, 0.1))
    canvas.ellipse(0, 0.56, 0.26, 0.06, pale(stone, 0.15))
    with canvas.part("jet"):
        for x, y in spokes(12, 1.0):
            if y > 0.2:
                canvas.stroke(
                    ((0, 0.62), (0.15 * x, 0.62 + 0.36 * y), (0.3 * x, 0.62 + 0.2 * y)), 0.03, pale(water, 0.5)
                )
