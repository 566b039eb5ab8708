"""What stands about outdoors; unit: its height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.shapes import flag, glazing
from hf_hyperbolic.data.scenes.style import LAMPLIGHT, dark, hsv, mix, pale
from hf_hyperbolic.data.scenes.thing import thing

FRUITS = ((222, 64, 56), (244, 156, 48), (240, 206, 74), (176, 60, 96))


@thing("tree", aspect=0.72, height=0.40)
def tree(canvas: Canvas, rng: random.Random) -> None:
    leaf, bark = canvas.style.vary(canvas.style["leaf"], rng, 0.2), canvas.style["bark"]
    shape = rng.random()
    with canvas.part("trunk"):
        canvas.polygon(((-0.06, 0), (0.06, 0), (0.035, 0.45), (-0.035, 0.45)), bark)
        if shape >= 0.3:
            canvas.stroke(((0.0, 0.3), (0.12, 0.44)), 0.035, bark)
    with canvas.part("crown"):
        if shape < 0.3:
            for k, (y, w) in enumerate(((0.26, 0.30), (0.46, 0.24), (0.65, 0.17))):
                canvas.polygon(((-w, y), (w, y), (0, y + 0.35)), dark(leaf, 0.24 - 0.12 * k))
            return
        if shape < 0.45:
            canvas.ellipse(0, 0.62, 0.20, 0.38, leaf)
            canvas.ellipse(-0.05, 0.68, 0.12, 0.27, pale(leaf, 0.14))
            return
        clumps = (
            (-0.17, 0.54, 0.17),
            (0.17, 0.54, 0.18),
            (0.0, 0.50, 0.2),
            (-0.11, 0.74, 0.18),
            (0.12, 0.75, 0.17),
            (0, 0.82, 0.17),
        )
        for x, y, r in clumps:
            canvas.ellipse(x, y, r, r, leaf)
        for x, y, r in clumps[3:]:
            canvas.ellipse(x - 0.04, y + 0.04, 0.6 * r, 0.5 * r, pale(leaf, 0.14))
        if rng.random() < 0.3:
            colour = rng.choice(FRUITS)
            for x, y in ((-0.19, 0.56), (0.04, 0.62), (0.2, 0.60), (-0.08, 0.8)):
                if rng.random() < 0.7:
                    with canvas.part("fruit"):
                        canvas.ellipse(x + rng.uniform(-0.03, 0.03), y, 0.05, 0.05, colour)
        if rng.random() < 0.1:
            with canvas.part("nest"):
                canvas.ellipse(0.05, 0.68, 0.1, 0.06, dark(canvas.style["straw"], 0.3))
                canvas.ellipse(0.05, 0.70, 0.07, 0.03, dark(canvas.style["straw"], 0.6))


@thing("flower", aspect=0.5, height=0.15)
def flower(canvas: Canvas, rng: random.Random) -> None:
    petal, stem = canvas.style.accent(rng), dark(canvas.style["leaf"], 0.1)
    if canvas.style.light.ambient[0] > 0.6:
        petal = mix(petal, hsv(rng.random(), 0.7, 0.95), 0.4)
    canvas.stroke(((0, 0), (0.02, 0.6)), 0.05, stem)
    for side in (-1, 1):
        with canvas.part("leaf"):
            y = rng.uniform(0.18, 0.3)
            canvas.polygon(((0, y - 0.06), (0.13 * side, y), (0.26 * side, y + 0.14), (0.09 * side, y + 0.12)), stem)
    with canvas.part("blossom"):
        if rng.random() < 0.35:
            canvas.polygon(
                (
                    (-0.18, 0.96),
                    (-0.17, 0.62),
                    (0, 0.54),
                    (0.19, 0.62),
                    (0.2, 0.96),
                    (0.1, 0.8),
                    (0.01, 0.99),
                    (-0.08, 0.8),
                ),
                petal,
            )
        else:
            for x, y in ((0.15, 0), (0.05, 0.15), (-0.12, 0.09), (-0.12, -0.09), (0.05, -0.15)):
                canvas.ellipse(0.02 + x, 0.76 + y, 0.1, 0.1, petal)
            canvas.ellipse(0.02, 0.76, 0.085, 0.085, (248, 206, 80))


@thing("bench", aspect=1.9, height=0.15)
def bench(canvas: Canvas, rng: random.Random) -> None:
    wood = canvas.style.vary(canvas.style["wood"], rng)
    for x in (-0.72, 0.72):
        with canvas.part("foot"):
            canvas.stroke(((x, 0.5), (x, 0.05)), 0.09, canvas.style["steel"])
    with canvas.part("back"):
        for y in (0.62, 0.80):
            canvas.rounded(-0.92, y, 0.92, y + 0.15, 0.05, wood)
    for x in (-0.72, 0.72):
        canvas.stroke(((x, 0.5), (x, 0.92)), 0.06, canvas.style["steel"])
    with canvas.part("seat"):
        canvas.polygon(((-0.9, 0.56), (0.9, 0.56), (0.96, 0.42), (-0.96, 0.42)), pale(wood, 0.15))
        canvas.stroke(((-0.93, 0.43), (0.93, 0.43)), 0.06, dark(wood, 0.25))


@thing("swing", aspect=1.1, height=0.34)
def swing(canvas: Canvas, rng: random.Random) -> None:
    pole = canvas.style.accent(rng)
    for side in (-1, 1):
        canvas.stroke(((0.40 * side, 0.96), (0.52 * side, 0.02)), 0.045, dark(pole, 0.15))
        canvas.stroke(((0.40 * side, 0.96), (0.28 * side, 0.06)), 0.045, pole)
    canvas.stroke(((-0.42, 0.96), (0.42, 0.96)), 0.05, pole)
    sway = rng.uniform(-0.12, 0.12)
    for x in rng.choice(((-0.12, 0.12), (0.0,))):
        with canvas.part("rope"):
            for dx in (-0.07, 0.07):
                canvas.stroke(((x + dx, 0.95), (x + dx + sway, 0.32)), 0.016, canvas.style["straw"])
        with canvas.part("seat"):
            canvas.rounded(x + sway - 0.10, 0.27, x + sway + 0.10, 0.33, 0.02, canvas.style.accent(rng))


@thing("slide", aspect=1.25, height=0.32)
def slide(canvas: Canvas, rng: random.Random) -> None:
    frame, plastic = canvas.style.accent(rng), canvas.style.accent(rng)
    with canvas.part("ladder"):
        for x0, x1 in ((-0.58, -0.42), (-0.42, -0.26)):
            canvas.stroke(((x0, 0.02), (x1, 0.92)), 0.035, frame)
        for k in range(1, 6):
            y = 0.02 + 0.15 * k
            x = -0.58 + 0.16 * y / 0.9
            canvas.stroke(((x, y), (x + 0.16, y)), 0.035, dark(frame, 0.2))
    canvas.stroke(((-0.1, 0.02), (-0.14, 0.68)), 0.04, frame)
    with canvas.part("chute"):
        canvas.stroke(((-0.36, 0.70), (-0.12, 0.68), (0.34, 0.16), (0.58, 0.08)), 0.13, dark(plastic, 0.2))
        canvas.stroke(((-0.36, 0.73), (-0.12, 0.71), (0.34, 0.20), (0.58, 0.11)), 0.06, pale(plastic, 0.3))
    if rng.random() < 0.4:
        with canvas.part("roof"):
            canvas.polygon(((-0.58, 0.82), (-0.06, 0.82), (-0.32, 1.02)), canvas.style.accent(rng))


@thing("street lamp", aspect=0.3, height=0.42)
def street_lamp(canvas: Canvas, rng: random.Random) -> None:
    iron = dark(canvas.style["steel"], 0.3)
    canvas.rectangle(-0.05, 0, 0.05, 0.07, iron)
    canvas.stroke(((0, 0.05), (0, 0.82)), 0.03, iron)
    if rng.random() < 0.5:
        with canvas.part("lantern"):
            with canvas.part("bulb"):
                canvas.polygon(((-0.05, 0.79), (0.05, 0.79), (0.08, 0.94), (-0.08, 0.94)), LAMPLIGHT, lit=True)
            canvas.polygon(((-0.10, 0.94), (0.10, 0.94), (0, 1.0)), iron)
    else:
        for side in (-1, 1):
            canvas.stroke(((0, 0.80), (0.05 * side, 0.92), (0.11 * side, 0.92)), 0.025, iron)
            with canvas.part("bulb"):
                canvas.ellipse(0.11 * side, 0.88, 0.05, 0.055, LAMPLIGHT, lit=True)


@thing("traffic light", aspect=0.25, height=0.38)
def traffic_light(canvas: Canvas, rng: random.Random) -> None:
    iron = dark(canvas.style["steel"], 0.3)
    canvas.stroke(((0, 0.0), (0, 0.6)), 0.04, iron)
    on = rng.randrange(3)
    with canvas.part("signal"):
        canvas.rounded(-0.11, 0.54, 0.11, 1.0, 0.05, dark(iron, 0.3))
        for k, colour in enumerate(((70, 214, 110), (250, 196, 60), (238, 70, 60))):
            with canvas.part("bulb"):
                canvas.ellipse(0, 0.63 + 0.14 * k, 0.062, 0.058, colour if k == on else dark(colour, 0.6), lit=k == on)


@thing("signpost", aspect=0.55, height=0.28)
def signpost(canvas: Canvas, rng: random.Random) -> None:
    wood = canvas.style["wood"]
    canvas.stroke(((0, 0), (0, 0.98)), 0.06, dark(wood, 0.3))
    for y in rng.choice(((0.78,), (0.78, 0.54))):
        side = rng.choice((-1, 1))
        with canvas.part("board"):
            paint = canvas.style.accent(rng)
            canvas.polygon(
                (
                    (-0.2 * side, y),
                    (0.2 * side, y),
                    (0.28 * side, y + 0.08),
                    (0.2 * side, y + 0.16),
                    (-0.2 * side, y + 0.16),
                ),
                paint,
            )
            canvas.stroke(((-0.13 * side, y + 0.08), (0.14 * side, y + 0.08)), 0.03, pale(paint, 0.7))


@thing("crane", aspect=0.95, height=0.74)
def crane(canvas: Canvas, rng: random.Random) -> None:
    paint = mix(canvas.style.accent(rng), (240, 180, 50), 0.5)
    mast = -0.18
    canvas.rectangle(mast - 0.09, 0, mast + 0.09, 0.03, canvas.style["stone"])
    with canvas.part("mast"):
        for dx in (-0.035, 0.035):
            canvas.stroke(((mast + dx, 0.02), (mast + dx, 0.84)), 0.014, paint)
        for k in range(10):
            y, side = 0.03 + 0.08 * k, 0.035 if k % 2 else -0.035
            canvas.stroke(((mast - side, y), (mast + side, y + 0.08)), 0.009, paint)
    with canvas.part("jib"):
        canvas.stroke(((mast - 0.25, 0.84), (0.62, 0.84)), 0.016, paint)
        canvas.stroke(((mast + 0.02, 0.90), (0.56, 0.89), (0.62, 0.84)), 0.011, paint)
        for k in range(10):
            x = mast + 0.06 + 0.075 * k
            canvas.stroke(((x, 0.84), (x + 0.035, 0.89), (x + 0.07, 0.84)), 0.008, paint)
    canvas.stroke(((mast - 0.22, 0.85), (mast, 0.99), (0.3, 0.89)), 0.008, canvas.style["steel"])
    with canvas.part("counterweight"):
        canvas.rectangle(mast - 0.26, 0.74, mast - 0.13, 0.85, canvas.style["stone"])
    with canvas.part("cabin"):
        canvas.rectangle(mast + 0.03, 0.73, mast + 0.15, 0.83, dark(paint, 0.15))
        with canvas.part("cockpit"):
            glazing(canvas, rng, mast + 0.065, 0.75, mast + 0.14, 0.815)
    x, y = rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.66)
    canvas.stroke(((x, 0.84), (x, y)), 0.008, canvas.style["steel"])
    with canvas.part("hook"):
        canvas.rectangle(x - 0.035, y - 0.02, x + 0.035, y + 0.03, dark(paint, 0.3))
        canvas.stroke(
            ((x, y - 0.02), (x, y - 0.06), (x - 0.025, y - 0.075), (x - 0.035, y - 0.05)), 0.014, canvas.style["steel"]
        )


@thing("digger", aspect=1.5, height=0.26)
def digger(canvas: Canvas, rng: random.Random) -> None:
    paint, steel = mix(canvas.style.accent(rng), (240, 180, 50), 0.6), canvas.style["steel"]
    with canvas.part("arm"):
        canvas.stroke(((0.06, 0.46), (0.38, 0.92), (0.62, 0.56)), 0.09, dark(paint, 0.1))
        with canvas.part("bucket"):
            canvas.polygon(((0.50, 0.58), (0.74, 0.54), (0.68, 0.28), (0.46, 0.36), (0.56, 0.46)), steel)
    canvas.rounded(-0.62, 0.26, 0.1, 0.58, 0.07, paint)
    with canvas.part("cabin"):
        canvas.polygon(((-0.30, 0.32), (0.14, 0.32), (0.10, 0.94), (-0.30, 0.94)), paint)
        with canvas.part("cockpit"):
            glazing(canvas, rng, -0.23, 0.52, 0.05, 0.86)
    with canvas.part("track"):
        canvas.rounded(-0.64, 0.0, 0.26, 0.26, 0.13, canvas.style["rubber"])
        for x in (-0.5, -0.19, 0.12):
            canvas.ellipse(x, 0.13, 0.085, 0.085, steel)


@thing("snowman", aspect=0.6, height=0.26)
def snowman(canvas: Canvas, rng: random.Random) -> None:
    snow = (246, 248, 252)
    for side in (-1, 1):
        with canvas.part("arm"):
            canvas.stroke(((0.15 * side, 0.5), (0.34 * side, rng.uniform(0.5, 0.72))), 0.03, canvas.style["bark"])
    with canvas.part("torso"):
        canvas.ellipse(0, 0.2, 0.24, 0.21, dark(snow, 0.06))
        canvas.ellipse(0, 0.48, 0.18, 0.16, snow)
        for y in (0.42, 0.52):
            canvas.ellipse(0, y, 0.02, 0.02, canvas.style["rubber"])
    with canvas.part("head"):
        canvas.ellipse(0, 0.71, 0.13, 0.13, snow)
        for x in (-0.05, 0.05):
            with canvas.part("eye"):
                canvas.ellipse(x, 0.74, 0.022, 0.025, canvas.style["rubber"])
        canvas.polygon(((0, 0.72), (0, 0.68), (0.14, 0.69)), (240, 140, 50))
        if rng.random() < 0.8:
            with canvas.part("hat"):
                felt = dark(canvas.style.accent(rng), 0.4)
                canvas.rectangle(-0.10, 0.82, 0.10, 1.0, felt)
                canvas.rectangle(-0.16, 0.80, 0.16, 0.845, felt)


@thing("flagpole", aspect=0.6, height=0.42)
def flagpole(canvas: Canvas, rng: random.Random) -> None:
    canvas.rectangle(-0.06, 0, 0.06, 0.04, canvas.style["stone"])
    flag(canvas, rng, 0.0, 0.02, 0.97)
