"""People and animals, seen from the side unless they face us; unit: their height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.style import RGB, SKINS, dark, hsv, mix, pale
from hf_hyperbolic.data.scenes.thing import thing

EYE: RGB = (28, 26, 36)
COATS: tuple[RGB, ...] = ((120, 82, 56), (196, 150, 98), (74, 58, 52), (232, 226, 214), (150, 146, 148), (176, 106, 60))


def eye(canvas: Canvas, x: float, y: float, radius: float) -> None:
    with canvas.part("eye"):
        canvas.ellipse(x, y, radius, radius * 1.15, (250, 250, 246))
        canvas.ellipse(x, y, radius * 0.6, radius * 0.75, EYE)


def limb(
    canvas: Canvas, hip: tuple[float, float], foot: tuple[float, float], width: float, colour: RGB, shoe: RGB
) -> None:
    canvas.stroke((hip, foot), width, colour)
    x, y = foot
    canvas.rounded(x - width * 0.55, y - width * 0.5, x + width * 0.9, y + width * 0.3, width * 0.3, shoe)


def face(canvas: Canvas, rng: random.Random, x: float, y: float, r: float, skin: RGB) -> None:
    """A head of radius r with hair or a hat."""
    hair = rng.choice(((52, 38, 34), (96, 62, 36), (206, 164, 92), (170, 84, 44), (150, 146, 150)))
    hatted = rng.random() < 0.3
    with canvas.part("head"):
        if rng.random() < 0.35:
            canvas.ellipse(x, y - 0.25 * r, 1.08 * r, 1.05 * r, hair)
        canvas.ellipse(x, y + 0.22 * r, r, r, hair)
        canvas.ellipse(x, y - 0.08 * r, 0.92 * r, 0.95 * r, skin)
        eye(canvas, x - 0.34 * r, y, 0.17 * r)
        eye(canvas, x + 0.38 * r, y, 0.17 * r)
        canvas.stroke(
            ((x - 0.2 * r, y - 0.48 * r), (x + 0.04 * r, y - 0.56 * r), (x + 0.28 * r, y - 0.48 * r)),
            0.1 * r,
            dark(skin, 0.45),
        )
        if hatted:
            with canvas.part("hat"):
                felt = canvas.style.accent(rng)
                crown = rng.uniform(1.1, 1.7)
                canvas.rounded(x - 0.78 * r, y + 0.4 * r, x + 0.78 * r, y + crown * r, 0.3 * r, felt)
                canvas.rounded(x - 1.3 * r, y + 0.34 * r, x + 1.3 * r, y + 0.62 * r, 0.12 * r, dark(felt, 0.25))


def bust(canvas: Canvas, rng: random.Random) -> None:
    """Head and shoulders, for somebody behind a window or a rail; unit: their height."""
    with canvas.part("passenger"):
        canvas.ellipse(0, 0.0, 0.46, 0.44, canvas.style.accent(rng))
        canvas.rectangle(-0.46, -0.2, 0.46, 0.02, canvas.style.accent(rng))
        face(canvas, rng, 0, 0.66, 0.28, rng.choice(SKINS))


@thing("person", aspect=0.42, height=0.30, tilt=0.04)
def person(canvas: Canvas, rng: random.Random) -> None:
    skin, shirt, trousers = rng.choice(SKINS), canvas.style.accent(rng), dark(canvas.style.accent(rng), 0.3)
    stride, swing = rng.uniform(0.03, 0.15), rng.uniform(0.10, 0.24)
    lift = rng.choice((0.38, 0.40, 0.42, 0.72, 0.86))
    shoe = dark(trousers, 0.6)
    skirt = rng.random() < 0.3
    with canvas.part("leg"):
        limb(canvas, (-0.05, 0.40), (-stride, 0.03), 0.085, skin if skirt else dark(trousers, 0.1), shoe)
        limb(canvas, (0.05, 0.40), (stride, 0.03), 0.085, skin if skirt else trousers, shoe)
    for side, hand in ((-1, 0.40), (1, lift)):
        with canvas.part("arm"):
            reach = (0.10 + swing) * side
            elbow = ((0.13 + 0.4 * swing) * side, (0.70 + hand) / 2 - 0.04)
            canvas.stroke(((0.11 * side, 0.71), elbow, (reach, hand)), 0.07, dark(shirt, 0.12))
            canvas.ellipse(reach, hand, 0.042, 0.042, skin)
    with canvas.part("torso"):
        canvas.rounded(-0.135, 0.40, 0.135, 0.77, 0.09, shirt)
        if skirt:
            canvas.polygon(((-0.12, 0.5), (0.12, 0.5), (0.2, 0.28), (-0.2, 0.28)), trousers)
        elif rng.random() < 0.4:
            canvas.rectangle(-0.135, 0.54, 0.135, 0.61, pale(shirt, 0.5))
    face(canvas, rng, 0, 0.885, 0.115, skin)


def beast_legs(
    canvas: Canvas, rng: random.Random, xs: tuple[float, float], top: float, width: float, coat: RGB, hoof: RGB
) -> None:
    """Hind legs and forelegs: a pair is one part, its far leg darker."""
    for x in xs:
        with canvas.part("animal leg"):
            for dx, colour in ((0.08, dark(coat, 0.22)), (-0.02, coat)):
                limb(canvas, (x + dx, top), (x + dx + rng.uniform(-0.05, 0.05), width * 0.4), width, colour, hoof)


def tail(canvas: Canvas, points: tuple[tuple[float, float], ...], width: float, colour: RGB) -> None:
    with canvas.part("tail"):
        canvas.stroke(points, width, colour)


@thing("dog", aspect=1.25, height=0.16)
def dog(canvas: Canvas, rng: random.Random) -> None:
    coat = canvas.style.vary(rng.choice(COATS), rng)
    tail(canvas, ((-0.42, 0.58), (-0.56, 0.72), (-0.6, rng.uniform(0.7, 0.98))), 0.09, dark(coat, 0.1))
    beast_legs(canvas, rng, (-0.36, 0.18), 0.36, 0.11, coat, dark(coat, 0.3))
    with canvas.part("animal body"):
        canvas.rounded(-0.46, 0.3, 0.36, 0.66, 0.17, coat)
    with canvas.part("animal head"):
        canvas.ellipse(0.40, 0.76, 0.21, 0.20, coat)
        canvas.rounded(0.42, 0.60, 0.70, 0.76, 0.07, pale(coat, 0.25))
        canvas.ellipse(0.68, 0.73, 0.045, 0.04, EYE)
        eye(canvas, 0.47, 0.81, 0.045)
        with canvas.part("ear"):
            canvas.polygon(((0.22, 0.94), (0.36, 0.93), (0.30, 0.58), (0.2, 0.62)), dark(coat, 0.35))
    if rng.random() < 0.4:
        canvas.stroke(((0.24, 0.58), (0.40, 0.55)), 0.06, canvas.style.accent(rng))


@thing("cat", aspect=0.85, height=0.13)
def cat(canvas: Canvas, rng: random.Random) -> None:
    coat = canvas.style.vary(rng.choice(COATS), rng)
    curl = rng.uniform(0.4, 0.75)
    tail(canvas, ((-0.2, 0.08), (-0.42, 0.12), (-0.46, curl), (-0.36, curl + 0.1)), 0.09, dark(coat, 0.15))
    with canvas.part("animal body"):
        canvas.ellipse(-0.02, 0.27, 0.27, 0.29, coat)
        canvas.ellipse(0.02, 0.24, 0.13, 0.2, pale(coat, 0.35))
    with canvas.part("animal leg"):
        for x in (-0.1, 0.14):
            limb(canvas, (x, 0.28), (x, 0.05), 0.11, coat, pale(coat, 0.4))
    with canvas.part("animal head"):
        for side in (-1, 1):
            with canvas.part("ear"):
                canvas.polygon(
                    ((0.02 + 0.07 * side, 0.82), (0.02 + 0.28 * side, 0.72), (0.02 + 0.25 * side, 1.0)),
                    dark(coat, 0.15),
                )
        canvas.ellipse(0.02, 0.66, 0.29, 0.235, coat)
        for side in (-1, 1):
            eye(canvas, 0.02 + 0.12 * side, 0.70, 0.06)
        canvas.polygon(((-0.02, 0.61), (0.06, 0.61), (0.02, 0.57)), (214, 120, 120))


@thing("cow", aspect=1.5, height=0.22)
def cow(canvas: Canvas, rng: random.Random) -> None:
    coat = canvas.style.vary(rng.choice(((240, 236, 228), (150, 98, 62), (60, 52, 54), (222, 190, 150))), rng)
    patch = rng.choice(((52, 46, 50), (130, 82, 52), (240, 236, 228)))
    grazing = rng.random() < 0.35
    tail(canvas, ((-0.62, 0.76), (-0.71, 0.62), (-0.70, 0.34)), 0.05, dark(coat, 0.3))
    beast_legs(canvas, rng, (-0.5, 0.3), 0.36, 0.12, coat, (50, 42, 44))
    with canvas.part("animal body"):
        canvas.rounded(-0.62, 0.32, 0.48, 0.84, 0.17, coat)
        for _ in range(rng.randint(1, 3)):
            canvas.ellipse(
                rng.uniform(-0.42, 0.3), rng.uniform(0.5, 0.68), rng.uniform(0.08, 0.17), rng.uniform(0.07, 0.13), patch
            )
        canvas.ellipse(-0.22, 0.33, 0.12, 0.07, (236, 170, 168))
    with (
        canvas.at(0.62 if grazing else 0.56, 0.34 if grazing else 0.78, 1.0, -0.35 if grazing else 0.0),
        canvas.part("animal head"),
    ):
        for side in (-1, 1):
            with canvas.part("horn"):
                canvas.stroke(((0.05 + 0.09 * side, 0.13), (0.05 + 0.16 * side, 0.26)), 0.055, (236, 226, 196))
        for side in (-1, 1):
            with canvas.part("ear"):
                canvas.ellipse(0.05 + 0.20 * side, 0.10, 0.10, 0.05, dark(coat, 0.3))
        canvas.rounded(-0.10, -0.20, 0.20, 0.19, 0.12, coat)
        canvas.rounded(-0.09, -0.26, 0.19, -0.06, 0.08, (232, 180, 172))
        for x in (-0.02, 0.12):
            eye(canvas, x, 0.06, 0.04)


@thing("horse", aspect=1.3, height=0.30)
def horse(canvas: Canvas, rng: random.Random) -> None:
    coat = canvas.style.vary(rng.choice(COATS), rng)
    hair = rng.choice((dark(coat, 0.55), pale(coat, 0.6)))
    tail(canvas, ((-0.46, 0.62), (-0.58, 0.54), (-0.60, 0.24)), 0.10, hair)
    beast_legs(canvas, rng, (-0.38, 0.18), 0.40, 0.085, coat, (46, 40, 42))
    with canvas.part("animal body"):
        canvas.rounded(-0.48, 0.38, 0.36, 0.68, 0.15, coat)
    canvas.polygon(((0.12, 0.62), (0.34, 0.46), (0.50, 0.86), (0.32, 0.93)), coat)
    with canvas.part("mane"):
        canvas.polygon(((0.08, 0.66), (0.17, 0.60), (0.38, 0.88), (0.33, 0.99), (0.22, 0.90)), hair)
    with canvas.part("animal head"):
        with canvas.part("ear"):
            canvas.polygon(((0.33, 0.92), (0.42, 0.92), (0.36, 1.03)), dark(coat, 0.2))
        canvas.polygon(((0.30, 0.94), (0.44, 0.95), (0.66, 0.72), (0.62, 0.63), (0.54, 0.64), (0.36, 0.76)), coat)
        canvas.polygon(((0.66, 0.72), (0.62, 0.63), (0.54, 0.64), (0.57, 0.74)), dark(coat, 0.3))
        eye(canvas, 0.44, 0.87, 0.03)
    if rng.random() < 0.3:
        with canvas.part("saddle"):
            canvas.polygon(((-0.16, 0.70), (0.12, 0.70), (0.10, 0.44), (-0.08, 0.44)), canvas.style.accent(rng))


@thing("bird", aspect=1.35, height=0.115)
def bird(canvas: Canvas, rng: random.Random) -> None:
    coat = mix(canvas.style.accent(rng), hsv(rng.random(), 0.7, 0.9), 0.4)
    up = rng.random() < 0.5
    with canvas.part("tail"):
        canvas.polygon(((-0.30, 0.42), (-0.70, 0.58), (-0.66, 0.30)), dark(coat, 0.35))
    canvas.ellipse(-0.02, 0.40, 0.40, 0.27, coat)
    canvas.ellipse(0.08, 0.32, 0.26, 0.16, pale(coat, 0.5))
    for x in (-0.05, 0.08):
        canvas.stroke(((x, 0.16), (x, 0.0)), 0.04, (206, 140, 60))
    with canvas.part("animal head"):
        with canvas.part("beak"):
            canvas.polygon(((0.44, 0.76), (0.44, 0.52), (0.74, 0.60)), (240, 166, 56))
        canvas.ellipse(0.32, 0.65, 0.20, 0.20, coat)
        eye(canvas, 0.38, 0.69, 0.055)
    with canvas.part("wing"):
        tip = (-0.46, 1.0) if up else (-0.48, 0.22)
        shape = ((0.12, 0.46), tip, (-0.26, 0.36 if up else 0.5))
        canvas.polygon(shape, dark(coat, 0.25))
        canvas.ellipse(-0.06, 0.44, 0.18, 0.11, dark(coat, 0.25))
