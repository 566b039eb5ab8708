"""House style of the report's figures: colours, level names, bare axes, and files that come out alike every time."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_hyperbolic.data.levels import DEEPEST as DEEPEST
from hf_hyperbolic.data.levels import level_name as level_name

INK = "#22303c"
MUTED = "#66757f"
RULE = "#dde3e6"
PAPER = "#ffffff"

# From the root outwards. Chosen to stay apart under protanopia, deuteranopia and tritanopia and, by lightness, in grey;
# a marker goes with each, so that colour never speaks alone.
LEVEL_COLOURS = ("#123a63", "#2a9d9a", "#e39b2d", "#b0406f", "#a9b1ba")
LEVEL_MARKERS = ("s", "o", "^", "D", "v")


@dataclass(frozen=True)
class Look:
    """Colours of a drawing that stands on a light or on a dark page.

    Attributes:
        ink: of text and lines.
        muted: of what matters less.
        rule: of hairlines.
        paper: of the page behind.
        ground: of the figure, `"none"` for a transparent one.
        disk: of the Poincare disk.
        levels: see `LEVEL_COLOURS`.
        bands: name of a colour map; its upper end stands out from the page.
    """

    ink: str = INK
    muted: str = MUTED
    rule: str = RULE
    paper: str = PAPER
    ground: str = PAPER
    disk: str = "#f7f9fa"
    levels: tuple[str, ...] = LEVEL_COLOURS
    bands: str = "YlGnBu"


LIGHT = Look()
# the levels of LIGHT, lighter, as the web demo has them; the page is that of the site's dark scheme
DARK = Look(
    ink="#e3e9ef", muted="#a9b6c4", rule="#434a56", paper="#1e2129", ground="none", disk="#262b36",
    levels=("#8fc0f0", "#5fd0cc", "#f0b554", "#ee90b6", "#b6bec8"), bands="YlGnBu_r",
)  # fmt: skip

# Systems, main one first; each has a dash pattern too.
SYSTEM_COLOURS = ("#123a63", "#c8553d", "#6b8f3a", "#7b5aa6", "#3b97c4", "#a07b2c")
SYSTEM_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (2, 2)),
    (0, (6, 2, 1, 2)),
    "-",
    "--",
)

_SVG_FONT = "'DejaVu Sans'"
# DejaVu is what the layout is measured with; it is the widest of these, so the text fits with any of them
_SCREEN_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


def level_colour(level: int) -> str:
    return LEVEL_COLOURS[min(level, DEEPEST)]


def level_marker(level: int) -> str:
    return LEVEL_MARKERS[min(level, DEEPEST)]


def new_figure(width: float, height: float) -> Figure:
    """A blank figure (inches) with a canvas of its own, outside pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "", look: Look = LIGHT) -> None:
    """Title at the left, hairline grid, no box."""
    axes.set_title(title, loc="left", fontsize=11, color=look.ink, fontweight="bold", pad=10)
    axes.set_xlabel(xlabel, fontsize=10, color=look.muted)
    axes.set_ylabel(ylabel, fontsize=10, color=look.muted)
    axes.tick_params(colors=look.muted, labelsize=9.5, length=0)
    axes.set_facecolor(look.ground)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(look.rule)
    axes.grid(axis="y", color=look.rule, linewidth=0.8)
    axes.set_axisbelow(True)


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG whose text is text; the same figure gives the same bytes."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hf_hyperbolic"}):
        text = _saved(lambda out: figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}))
    return text.decode().replace(_SVG_FONT, _SCREEN_FONTS).encode()


def to_png(figure: Figure, dots_per_inch: float = 192) -> bytes:
    """The figure as PNG; 192 dots an inch are two for each CSS pixel."""
    return _saved(lambda out: figure.savefig(out, format="png", dpi=dots_per_inch, metadata={"Software": None}))


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()
