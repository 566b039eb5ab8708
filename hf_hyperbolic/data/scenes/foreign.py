"""Looks outside the domain: the same things under palettes and techniques no training scene has."""

import random
from collections.abc import Callable
from dataclasses import replace

from hf_hyperbolic.data.scenes.style import LIGHTS, RGB, Style, draw_style, hsv, luminance, mix


def _ramp(low: RGB, high: RGB) -> Callable[[RGB], RGB]:
    return lambda colour: mix(low, high, luminance(colour))


def _sketch(rng: random.Random) -> tuple[Callable[[RGB], RGB], tuple[int, int, int]]:
    """Ink on paper with a breath of wash."""
    paper = hsv(rng.uniform(0.08, 0.14), rng.uniform(0.04, 0.12), 0.98)
    return lambda colour: mix(paper, colour, 0.05 + 0.28 * (1 - luminance(colour))), (46, 42, 50)


def _blueprint(rng: random.Random) -> tuple[Callable[[RGB], RGB], tuple[int, int, int]]:
    """White lines on blue."""
    hue = rng.uniform(0.56, 0.66)
    return _ramp(hsv(hue, 0.85, 0.34), hsv(hue, 0.62, 0.62)), (226, 238, 255)


def _neon(rng: random.Random) -> tuple[Callable[[RGB], RGB], tuple[int, int, int]]:
    """Negative colours on black, glowing outlines."""
    glow = hsv(rng.choice((0.87, 0.48, 0.33, 0.14)), 0.75, 1.0)

    def grade(colour: RGB) -> RGB:
        return mix((14, 8, 28), (255 - colour[0], 255 - colour[1], 255 - colour[2]), 0.42)

    return grade, (int(glow[0]), int(glow[1]), int(glow[2]))


def _candy(rng: random.Random) -> tuple[Callable[[RGB], RGB], tuple[int, int, int]]:
    """Channels exchanged, then lightened: pink grass, mint bricks."""
    order = rng.choice(((1, 2, 0), (2, 0, 1), (1, 0, 2)))
    return lambda c: mix((c[order[0]], c[order[1]], c[order[2]]), (255, 244, 250), 0.38), (150, 110, 160)


def _woodcut(rng: random.Random) -> tuple[Callable[[RGB], RGB], tuple[int, int, int]]:
    """Two inks, in five tones."""
    hue = rng.random()
    low, high = hsv(hue, 0.7, 0.28), hsv(hue + 0.12, 0.25, 0.97)
    return lambda colour: mix(low, high, round(4 * luminance(colour)) / 4), (int(low[0]), int(low[1]), int(low[2]))


LOOKS = {"sketch": _sketch, "blueprint": _blueprint, "neon": _neon, "candy": _candy, "woodcut": _woodcut}


def draw_foreign_style(rng: random.Random, indoors: bool = False) -> Style:
    """Draw one of `LOOKS`, over a daylight scene."""
    name = rng.choice(list(LOOKS))
    grade, ink = LOOKS[name](rng)
    style = draw_style(rng, indoors)
    light = style.light
    if light.dark or light.haze > 0.5:
        light = replace(LIGHTS["day"][1], leaf=light.leaf)
    outline = 0.0 if name == "candy" and rng.random() < 0.5 else rng.uniform(0.004, 0.006)
    return replace(style, name=name, light=light, outline=outline, ink=ink, grade=grade, _shown={})
