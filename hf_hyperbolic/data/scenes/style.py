"""What a scene looks like apart from what is in it: light, haze, palette, materials, outline, grain.

Objects ask for accents (`Style.accent`) and materials (`style["wood"]`); the canvas passes every colour through
`Style.shown`. So all that stands in one scene shares its palette and light, and carries a trace of its scene.
"""

import colorsys
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

RGB = tuple[float, float, float]

# hue, saturation, value of things that look alike in any palette
MATERIALS: dict[str, tuple[float, float, float]] = {
    "leaf": (0.30, 0.52, 0.58),
    "grass": (0.25, 0.48, 0.66),
    "wood": (0.07, 0.52, 0.52),
    "bark": (0.07, 0.42, 0.38),
    "metal": (0.58, 0.10, 0.66),
    "steel": (0.60, 0.14, 0.42),
    "glass": (0.55, 0.28, 0.88),
    "stone": (0.10, 0.07, 0.66),
    "asphalt": (0.63, 0.09, 0.43),
    "rubber": (0.63, 0.18, 0.20),
    "paper": (0.12, 0.06, 0.97),
    "straw": (0.12, 0.52, 0.86),
    "earth": (0.07, 0.38, 0.58),
    "sand": (0.11, 0.30, 0.86),
    "water": (0.55, 0.52, 0.68),
    "brass": (0.12, 0.60, 0.82),
}
SKINS: tuple[RGB, ...] = ((246, 214, 186), (229, 184, 145), (198, 140, 100), (150, 98, 66), (104, 66, 46))
LAMPLIGHT: RGB = (255, 222, 130)


@dataclass(frozen=True)
class Light:
    """Light of a scene: sky from top to horizon, colour of the light, haze that swallows what is far, leaves."""

    sky: tuple[RGB, RGB]
    ambient: RGB
    haze: float = 0.25
    leaf: tuple[float, float, float] | None = None
    ground: tuple[float, float, float] | None = None
    dark: bool = False
    flakes: bool = False


LIGHTS: dict[str, tuple[float, Light]] = {
    "day": (5.0, Light(((96, 172, 232), (218, 238, 246)), (1.0, 1.0, 1.0))),
    "overcast": (2.0, Light(((176, 190, 202), (222, 228, 230)), (0.90, 0.92, 0.95), haze=0.4)),
    "dusk": (2.0, Light(((92, 78, 140), (252, 178, 124)), (1.0, 0.82, 0.76), haze=0.35)),
    "autumn": (1.5, Light(((150, 190, 214), (250, 230, 196)), (1.0, 0.95, 0.86), leaf=(0.07, 0.72, 0.82))),
    "night": (1.5, Light(((16, 20, 52), (58, 66, 116)), (0.46, 0.52, 0.76), haze=0.35, dark=True)),
    "fog": (1.0, Light(((206, 212, 216), (226, 228, 226)), (0.95, 0.97, 0.98), haze=0.8)),
    "winter": (
        1.0,
        Light(
            ((168, 188, 210), (232, 238, 244)),
            (0.93, 0.97, 1.04),
            0.4,
            (0.45, 0.12, 0.86),
            (0.58, 0.05, 0.97),
            flakes=True,
        ),
    ),
}


def hsv(hue: float, saturation: float, value: float) -> RGB:
    """Colour from hue (turns), saturation and value in [0, 1]."""
    r, g, b = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return 255 * r, 255 * g, 255 * b


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The colour a share t of the way from a to b."""
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t


def dark(colour: RGB, by: float = 0.2) -> RGB:
    return mix(colour, (24, 20, 40), by)


def pale(colour: RGB, by: float = 0.3) -> RGB:
    return mix(colour, (255, 255, 250), by)


def luminance(colour: RGB) -> float:
    """Brightness in [0, 1]."""
    return (0.30 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]) / 255


@dataclass
class Style:
    """The look of one scene.

    Attributes:
        name: name of the light, or of the out-of-domain look.
        light: see `Light`.
        accents: the scene's harmonised colours; objects are painted in them.
        materials: the scene's version of `MATERIALS`.
        outline: width of the outline as a share of the image side, 0 for none.
        ink: colour of the outline.
        grade: last turn given to every colour; `None` in the domain.
    """

    name: str
    light: Light
    accents: list[RGB]
    materials: dict[str, RGB]
    outline: float = 0.0
    ink: tuple[int, int, int] = (40, 36, 52)
    grade: Callable[[RGB], RGB] | None = None
    _shown: dict[tuple[RGB, float, bool], tuple[int, int, int]] = field(default_factory=dict)

    def __getitem__(self, material: str) -> RGB:
        return self.materials[material]

    def accent(self, rng: random.Random) -> RGB:
        """One of the scene's colours, slightly varied."""
        return self.vary(rng.choice(self.accents), rng)

    def vary(self, colour: RGB, rng: random.Random, by: float = 0.1) -> RGB:
        """The colour a little lighter or darker."""
        t = rng.uniform(-by, by)
        return pale(colour, t) if t > 0 else dark(colour, -t)

    def pane(self, rng: random.Random) -> tuple[RGB, bool]:
        """Colour of a window's glass, and whether a lamp burns behind it."""
        if self.light.dark and rng.random() < 0.6:
            return self.vary(LAMPLIGHT, rng), True
        return self.vary(self["glass"], rng), False

    def shown(self, colour: RGB, haze: float = 0.0, lit: bool = False) -> tuple[int, int, int]:
        """The colour as it appears: under the scene's light, through its haze, graded."""
        key = (colour, haze, lit)
        found = self._shown.get(key)
        if found is None:
            r, g, b = colour
            if not lit:
                ambient, far = self.light.ambient, self.light.sky[1]
                t = haze * self.light.haze
                r, g, b = mix((r * ambient[0], g * ambient[1], b * ambient[2]), far, t)
            if self.grade is not None:
                r, g, b = self.grade((r, g, b))
            found = self._shown[key] = (min(max(int(r), 0), 255), min(max(int(g), 0), 255), min(max(int(b), 0), 255))
        return found

    def weather(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Snow in the air, on the supersampled drawing (RGB)."""
        if self.light.flakes:
            draw, side = ImageDraw.Draw(image), image.width
            for _ in range(rng.randint(30, 70)):
                x, y, r = rng.random() * side, rng.random() * side, side * rng.uniform(0.002, 0.006)
                draw.ellipse((x - r, y - r, x + r, y + r), fill=self.shown((250, 252, 255), lit=True))
        return image

    def develop(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Grain and a soft vignette over the finished picture (RGB, square)."""
        tile, side = _grain(image.width), image.width
        x, y = rng.randrange(side), rng.randrange(side)
        image = ImageChops.add(image, tile.crop((x, y, x + side, y + side)), offset=-128)
        return image if self.grade else ImageChops.multiply(image, _vignette(side))


@lru_cache(maxsize=4)
def _grain(side: int) -> Image.Image:
    noise = np.random.default_rng(0).normal(128, 2.2, (2 * side, 2 * side, 1)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(noise, 3, axis=2))


@lru_cache(maxsize=4)
def _vignette(side: int) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    falloff = 255 * (1 - 0.10 * (x**2 + y**2))
    return Image.fromarray(np.repeat(falloff.astype(np.uint8)[..., None], 3, axis=2))


def _palette(rng: random.Random, hue: float) -> list[RGB]:
    """Five colours in harmony: neighbours of the base hue, its complement, and one near-neutral."""
    spread = rng.choice((0.05, 0.08, 0.33))
    hues = (hue, hue + spread, hue - spread, hue + 0.5, hue + 0.5 + spread / 2)
    strength = rng.uniform(0.35, 0.75)
    accents = [hsv(h, strength * rng.uniform(0.8, 1.2), rng.uniform(0.62, 0.95)) for h in hues]
    accents[rng.randrange(5)] = hsv(hue, 0.12, rng.uniform(0.75, 0.95))
    return accents


def draw_style(rng: random.Random, indoors: bool = False) -> Style:
    """Draw a look of the domain: one of `LIGHTS`, a palette, materials tinted by it, outlined one time in four."""
    name = rng.choices(list(LIGHTS), [weight for weight, _ in LIGHTS.values()])[0]
    light = LIGHTS[name][1]
    if indoors:
        warm = (0.74, 0.68, 0.66) if light.dark else mix(light.ambient, (1.0, 1.0, 1.0), 0.5)
        light = replace(light, ambient=warm, flakes=False)
    hue = rng.random()
    tint, strength = hsv(hue, 0.6, 0.8), rng.uniform(0.0, 0.2)
    materials = {}
    for material, (h, s, v) in MATERIALS.items():
        if material == "leaf" and light.leaf:
            h, s, v = light.leaf
        if material in ("grass", "earth", "sand") and light.ground:
            h, s, v = light.ground
        jittered = hsv(h + rng.gauss(0, 0.015), s * rng.uniform(0.8, 1.2), v * rng.uniform(0.9, 1.08))
        materials[material] = mix(jittered, tint, strength)
    top, low = (mix(colour, tint, strength) for colour in light.sky)
    light = replace(light, sky=(top, low))
    outline = rng.uniform(0.003, 0.005) if rng.random() < 0.25 else 0.0
    return Style(name, light, _palette(rng, hue), materials, outline)
