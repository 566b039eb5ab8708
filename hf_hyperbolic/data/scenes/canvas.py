"""A supersampled drawing surface that knows what it drew.

Every scene coordinate is y up: (0, 0) is the lower left corner, (1, 1) the upper right. `Canvas.at` opens a local frame
(origin, scale, rotation, mirror), `Canvas.part` a labelled part; what is drawn inside belongs to the part and to all
the parts open around it. The image is RGBA while it is being drawn, and the fourth channel holds not opacity but the
number of the part that owns the pixel: one drawing call paints both, so boxes and visibility are exact to the
supersampled pixel however things cover one another.
"""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageDraw

from hf_hyperbolic.data.scenes.style import RGB, Style

SUPERSAMPLE = 2
MAX_PARTS = 255
MIN_SIDE = 6 / 192  # boxes thinner than this share of the image are dropped
MIN_IN_IMAGE = 0.4  # share of a part's extent that must lie inside the image
MIN_VISIBLE = 0.4  # share of a part's pixels that must not be covered by later drawing

Point = tuple[float, float]
_CIRCLE = [(math.cos(2 * math.pi * k / 32), math.sin(2 * math.pi * k / 32)) for k in range(32)]


@dataclass
class Part:
    """A labelled part while it is drawn; pixels are supersampled."""

    label: str
    parent: int  # number of the part it belongs to, 0 for none
    number: int  # from 1, in the order of drawing
    last: int = 0  # number of its last descendant: a subtree is the range number..last
    x0: float = math.inf
    y0: float = math.inf
    x1: float = -math.inf
    y1: float = -math.inf
    pixels: int = 0

    def extend(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.x0, self.y0 = min(self.x0, x0), min(self.y0, y0)
        self.x1, self.y1 = max(self.x1, x1), max(self.y1, y1)


class Canvas:
    """Draws shapes in local frames and records the parts they belong to.

    Args:
        style: turns base colours into the scene's colours (light, haze, tint) and says whether shapes are outlined.
        size: side of the finished image in pixels.
    """

    def __init__(self, style: Style, size: int) -> None:
        self.style = style
        self.size = size
        self.pixels = size * SUPERSAMPLE
        self.image = Image.new("RGBA", (self.pixels, self.pixels))
        self.haze = 0.0
        self._draw = ImageDraw.Draw(self.image)
        self._frame = (float(self.pixels), 0.0, 0.0, 0.0, -float(self.pixels), float(self.pixels))
        self._parts: list[Part] = []
        self._open: list[Part] = []

    @contextmanager
    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, flip: bool = False) -> Iterator[None]:
        """Open a local frame: origin (x, y), unit `scale`, turned by `angle` radians, mirrored if `flip`."""
        outer = self._frame
        a, b, c, d, e, f = outer
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        side = -1.0 if flip else 1.0
        if angle:
            self._frame = (
                side * (a * cos + b * sin),
                b * cos - a * sin,
                a * x + b * y + c,
                side * (d * cos + e * sin),
                e * cos - d * sin,
                d * x + e * y + f,
            )
        else:
            self._frame = (
                side * a * scale,
                b * scale,
                a * x + b * y + c,
                side * d * scale,
                e * scale,
                d * x + e * y + f,
            )
        yield
        self._frame = outer

    @contextmanager
    def part(self, label: str) -> Iterator[None]:
        """Everything drawn inside belongs to one part called `label`, child of the part open around it."""
        number = len(self._parts) + 1
        if number > MAX_PARTS:
            raise ValueError(f"a scene holds at most {MAX_PARTS} parts; {label!r} is one too many")
        parent = self._open[-1].number if self._open else 0
        part = Part(label, parent, number)
        self._parts.append(part)
        self._open.append(part)
        yield
        self._open.pop()
        part.last = len(self._parts)
        part.pixels = self._owned(part)[0]
        if self._open:
            self._open[-1].extend(part.x0, part.y0, part.x1, part.y1)

    def parent_of(self, number: int) -> int:
        """Number of the part that part `number` belongs to, 0 for none."""
        return self._parts[number - 1].parent

    def polygon(self, points: Sequence[Point], colour: RGB, lit: bool = False) -> None:
        """Fill a polygon; `lit` colours shine and take no light from the scene."""
        a, b, c, d, e, f = self._frame
        moved = [(a * x + b * y + c, d * x + e * y + f) for x, y in points]
        xs, ys = [p[0] for p in moved], [p[1] for p in moved]
        ink = self._ink(colour, lit)
        self._draw.polygon(moved, fill=ink)
        self._extend(min(xs), min(ys), max(xs), max(ys))
        if self.style.outline:
            self._outline([*moved, moved[0], moved[1]])

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, lit: bool = False) -> None:
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, lit)

    def rounded(self, x0: float, y0: float, x1: float, y1: float, radius: float, colour: RGB) -> None:
        """Fill a rectangle with rounded corners."""
        points = []
        corners = ((x1 - radius, y1 - radius), (x0 + radius, y1 - radius), (x0 + radius, y0 + radius))
        for quarter, (x, y) in enumerate((*corners, (x1 - radius, y0 + radius))):
            points += [
                (x + radius * u, y + radius * v) for u, v in (*_CIRCLE, _CIRCLE[0])[8 * quarter : 8 * quarter + 9 : 2]
            ]
        self.polygon(points, colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: RGB, lit: bool = False) -> None:
        """Fill an ellipse with centre (x, y) and radii rx, ry along the local axes."""
        a, b, c, d, e, f = self._frame
        if b or d or self.style.outline:
            self.polygon([(x + rx * u, y + ry * v) for u, v in _CIRCLE], colour, lit)
            return
        px, py, wx, wy = a * x + c, e * y + f, abs(a * rx), abs(e * ry)
        box = (px - wx, py - wy, px + wx, py + wy)
        self._draw.ellipse(box, fill=self._ink(colour, lit))
        self._extend(*box)

    def stroke(self, points: Sequence[Point], width: float, colour: RGB, lit: bool = False) -> None:
        """Draw a line of the given width (local units) with round joints and ends."""
        a, b, c, d, e, f = self._frame
        moved = [(a * x + b * y + c, d * x + e * y + f) for x, y in points]
        thick = max(width * math.hypot(a, d), 1.0)
        half = thick / 2
        if self.style.outline:
            self._draw.line(moved, fill=self._outline_ink(), width=round(thick + 2 * self.style.outline * self.pixels))
        ink = self._ink(colour, lit)
        self._draw.line(moved, fill=ink, width=round(thick))
        if thick > 3:
            for x, y in moved:
                self._draw.ellipse((x - half, y - half, x + half, y + half), fill=ink)
        xs, ys = [p[0] for p in moved], [p[1] for p in moved]
        self._extend(min(xs) - half, min(ys) - half, max(xs) + half, max(ys) + half)

    def gradient(self, y0: float, y1: float, bottom: RGB, top: RGB, lit: bool = False) -> None:
        """Fill the full width between heights y0 and y1 with a vertical ramp (behind everything: owned by no part)."""
        e, f = self._frame[4], self._frame[5]
        upper, lower = max(round(e * y1 + f), 0), min(round(e * y0 + f), self.pixels)
        if lower <= upper:
            return
        ramp = Image.new("RGB", (1, 2))
        ramp.putpixel((0, 0), self.style.shown(top, lit=lit))
        ramp.putpixel((0, 1), self.style.shown(bottom, lit=lit))
        column = ramp.resize((1, lower - upper), Image.Resampling.BILINEAR, box=(0, 0.5, 1, 1.5))
        column.putalpha(0)
        self.image.paste(column.resize((self.pixels, lower - upper), Image.Resampling.NEAREST), (0, upper))

    def finish(self, rng: random.Random) -> tuple[Image.Image, list[tuple[Part, tuple[float, float, float, float]]]]:
        """The finished image, and every part that can be seen with the box (x0, y0, x1, y1) of its visible pixels."""
        seen = []
        for part in self._parts:
            box = self._visible_box(part)
            if box is not None:
                seen.append((part, box))
        image = self.style.weather(self.image.convert("RGB"), rng).reduce(SUPERSAMPLE)
        return self.style.develop(image, rng), seen

    def _visible_box(self, part: Part) -> tuple[float, float, float, float] | None:
        limit = float(self.pixels)
        extent = (part.x1 - part.x0) * (part.y1 - part.y0)
        width, height = min(part.x1, limit) - max(part.x0, 0.0), min(part.y1, limit) - max(part.y0, 0.0)
        if width <= 0 or height <= 0 or width * height < MIN_IN_IMAGE * extent:
            return None
        count, box = self._owned(part)
        if box is None or count < MIN_VISIBLE * part.pixels:
            return None
        x0, y0, x1, y1 = (v / SUPERSAMPLE for v in box)
        if min(x1 - x0, y1 - y0) < MIN_SIDE * self.size:
            return None
        return x0, y0, x1, y1

    def _owned(self, part: Part) -> tuple[int, tuple[int, int, int, int] | None]:
        """How many pixels the part's subtree owns now, and their box."""
        margin = 2 + (self.style.outline or 0) * self.pixels
        x0, y0 = max(int(part.x0 - margin), 0), max(int(part.y0 - margin), 0)
        x1, y1 = min(int(part.x1 + margin), self.pixels), min(int(part.y1 + margin), self.pixels)
        if x1 <= x0 or y1 <= y0:
            return 0, None
        last = part.last or len(self._parts)
        owned = [0] * 256
        owned[part.number : last + 1] = [1] * (last + 1 - part.number)
        region = self.image.crop((x0, y0, x1, y1)).getchannel(3).point(owned)
        box = region.getbbox()
        count = region.histogram()[1]
        return count, box and (box[0] + x0, box[1] + y0, box[2] + x0, box[3] + y0)

    def _extend(self, x0: float, y0: float, x1: float, y1: float) -> None:
        if self._open:
            self._open[-1].extend(x0, y0, x1, y1)

    def _ink(self, colour: RGB, lit: bool) -> tuple[int, int, int, int]:
        number = self._open[-1].number if self._open else 0
        return (*self.style.shown(colour, self.haze, lit), number)

    def _outline_ink(self) -> tuple[int, int, int, int]:
        number = self._open[-1].number if self._open else 0
        return (*self.style.ink, number)

    def _outline(self, points: list[Point]) -> None:
        self._draw.line(points, fill=self._outline_ink(), width=max(round(self.style.outline * self.pixels), 1))
