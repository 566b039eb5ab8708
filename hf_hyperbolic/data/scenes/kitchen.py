"""Kitchen things, seen from the front; unit: their height."""

import random

from hf_hyperbolic.data.scenes.canvas import Canvas
from hf_hyperbolic.data.scenes.furniture import handle
from hf_hyperbolic.data.scenes.style import dark, mix, pale
from hf_hyperbolic.data.scenes.thing import thing


@thing("stove", aspect=0.85, height=0.36, surface=1.04)
def stove(canvas: Canvas, rng: random.Random) -> None:
    enamel = pale(canvas.style.accent(rng), rng.uniform(0.0, 0.6))
    canvas.rounded(-0.42, 0.03, 0.42, 0.95, 0.03, enamel)
    for x in (-0.22, 0.22):
        with canvas.part("burner"):
            canvas.rounded(x - 0.15, 0.93, x + 0.15, 1.04, 0.03, canvas.style["rubber"])
    canvas.rectangle(-0.42, 0.92, 0.42, 0.95, canvas.style["steel"])
    for x in (-0.28, -0.09, 0.10, 0.29):
        with canvas.part("knob"):
            canvas.ellipse(x, 0.83, 0.055, 0.055, canvas.style["steel"])
            canvas.stroke(((x, 0.83), (x + rng.uniform(-0.03, 0.03), 0.87)), 0.018, pale(canvas.style["metal"], 0.6))
    with canvas.part("oven"):
        canvas.rounded(-0.36, 0.12, 0.36, 0.74, 0.04, dark(enamel, 0.12))
        with canvas.part("oven window"):
            canvas.rounded(-0.26, 0.2, 0.26, 0.56, 0.04, dark(canvas.style["steel"], 0.4))
            if rng.random() < 0.5:
                canvas.ellipse(0, 0.27, 0.15, 0.06, (240, 160, 70), lit=True)
        handle(canvas, 0, 0.66, 0.5, 0.06)


@thing("refrigerator", aspect=0.5, height=0.60)
def refrigerator(canvas: Canvas, rng: random.Random) -> None:
    enamel = mix(canvas.style.accent(rng), canvas.style["paper"], rng.choice((0.1, 0.75)))
    canvas.rounded(-0.25, 0.02, 0.25, 1.0, 0.05, dark(enamel, 0.3))
    side = rng.choice((-1, 1))
    split = rng.choice((0.62, 0.36))
    for y0, y1 in ((0.05, split), (split + 0.02, 0.97)):
        with canvas.part("cabinet door"):
            canvas.rounded(-0.23, y0, 0.23, y1, 0.03, enamel)
            handle(canvas, 0.17 * side, (y0 + y1) / 2, 0.045, 0.16)
            if rng.random() < 0.3:
                with canvas.part("magnet"):
                    x, y = -0.05 * side + rng.uniform(-0.08, 0.08), y0 + 0.7 * (y1 - y0)
                    canvas.rectangle(x - 0.045, y - 0.035, x + 0.045, y + 0.035, canvas.style.accent(rng))


@thing("kettle", aspect=1.25, height=0.13)
def kettle(canvas: Canvas, rng: random.Random) -> None:
    enamel = canvas.style.accent(rng)
    with canvas.part("handle"):
        canvas.stroke(((-0.3, 0.54), (-0.6, 0.56), (-0.62, 0.24), (-0.38, 0.14)), 0.09, canvas.style["rubber"])
    with canvas.part("spout"):
        canvas.polygon(((0.28, 0.2), (0.32, 0.44), (0.55, 0.72), (0.66, 0.68), (0.48, 0.34)), dark(enamel, 0.15))
    canvas.polygon(((-0.44, 0.02), (0.44, 0.02), (0.40, 0.4), (0.24, 0.72), (-0.24, 0.72), (-0.40, 0.4)), enamel)
    canvas.polygon(((-0.34, 0.1), (-0.24, 0.1), (-0.16, 0.56), (-0.24, 0.56)), pale(enamel, 0.4))
    with canvas.part("lid"):
        canvas.rounded(-0.26, 0.68, 0.26, 0.80, 0.05, dark(enamel, 0.3))
        with canvas.part("knob"):
            canvas.ellipse(0, 0.88, 0.11, 0.1, canvas.style["rubber"])


@thing("pan", aspect=1.7, height=0.09)
def pan(canvas: Canvas, rng: random.Random) -> None:
    metal = mix(canvas.style["steel"], canvas.style.accent(rng), 0.3)
    with canvas.part("handle"):
        canvas.stroke(((0.4, 0.5), (1.05, 0.66)), 0.14, canvas.style["wood"])
    canvas.rounded(-0.65, 0.0, 0.5, 0.66, 0.12, metal)
    if rng.random() < 0.6:
        with canvas.part("lid"):
            canvas.polygon(((-0.7, 0.62), (0.55, 0.62), (0.3, 0.86), (-0.45, 0.86)), pale(metal, 0.3))
            with canvas.part("knob"):
                canvas.ellipse(-0.07, 0.93, 0.11, 0.1, canvas.style["rubber"])


@thing("cup", aspect=1.15, height=0.075)
def cup(canvas: Canvas, rng: random.Random) -> None:
    china = canvas.style.accent(rng)
    with canvas.part("handle"):
        canvas.stroke(((0.3, 0.74), (0.58, 0.7), (0.58, 0.34), (0.28, 0.24)), 0.13, dark(china, 0.15))
    canvas.polygon(((-0.42, 0.95), (0.4, 0.95), (0.28, 0.02), (-0.3, 0.02)), china)
    canvas.polygon(((-0.39, 0.74), (0.37, 0.74), (0.34, 0.52), (-0.36, 0.52)), pale(china, 0.6))


@thing("sink", aspect=1.5, height=0.34, surface=0.75)
def sink(canvas: Canvas, rng: random.Random) -> None:
    front = mix(canvas.style["wood"], canvas.style.accent(rng), 0.6)
    with canvas.part("tap"):
        canvas.stroke(((-0.2, 0.74), (-0.2, 0.95), (0.0, 0.97), (0.02, 0.86)), 0.05, canvas.style["metal"])
    canvas.rectangle(-0.72, 0.0, 0.72, 0.68, front)
    canvas.rectangle(-0.75, 0.67, 0.75, 0.75, canvas.style["stone"])
    with canvas.part("basin"):
        canvas.rounded(-0.36, 0.52, 0.36, 0.76, 0.06, pale(canvas.style["metal"], 0.55))
        canvas.rectangle(-0.36, 0.72, 0.36, 0.76, canvas.style["metal"])
    for x0, x1, side in ((-0.66, -0.02, 1), (0.02, 0.66, -1)):
        with canvas.part("cabinet door"):
            canvas.rectangle(x0, 0.06, x1, 0.48, pale(front, 0.15))
            handle(canvas, x1 - 0.08 if side > 0 else x0 + 0.08, 0.32, 0.05, 0.16)
