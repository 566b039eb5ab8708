"""Small pieces of HTML: escaped text, pictures inside the page, tables, and the page around them."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from hf_hyperbolic.report.css import CSS
from hf_hyperbolic.report.style import to_png, to_svg


class Markup(str):
    """Text that is HTML already; every other string is escaped on its way into the page."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Anything as HTML text: `Markup` as it is, all else escaped, quotes included."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def join(parts: Iterable[object], separator: str = "\n") -> Markup:
    return Markup(separator.join(text(part) for part in parts))


def tag(name: str, content: object = "", /, **attributes: object) -> Markup:
    """`<name attributes>content</name>`; `class_` stands for class, None drops an attribute."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{text(content)}</{name}>")


def data_uri(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def thumbnail_uri(crop: np.ndarray, size: int = 144) -> str:
    """A picture as a JPEG inside the page, its longer side at most `size` pixels.

    Args:
        crop: (H, W, 3) uint8.
        size: pixels; small crops keep their size, the browser enlarges them.
    """
    image = Image.fromarray(np.ascontiguousarray(crop))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.convert("RGB").save(out, format="JPEG", quality=86)
    return data_uri(out.getvalue(), "image/jpeg")


def image(uri: str, alt: str, **attributes: object) -> Markup:
    written = "".join(f' {key.rstrip("_")}="{text(value)}"' for key, value in attributes.items())
    return Markup(f'<img src="{text(uri)}" alt="{text(alt)}"{written}>')


def figure(drawing: Figure, alt: str, caption: object = "", kind: str = "svg", class_: str | None = None) -> Markup:
    """A matplotlib figure inside the page with its caption.

    Args:
        drawing: the figure.
        alt: what it shows, in words.
        caption: text or `Markup`.
        kind: `"svg"`, or `"png"` (two pixels for each CSS pixel) for many points and thumbnails.
        class_: CSS class of the `<figure>`.
    """
    if kind not in ("svg", "png"):
        raise ValueError(f"kind must be 'svg' or 'png', got {kind!r}")
    uri = data_uri(to_svg(drawing), "image/svg+xml") if kind == "svg" else data_uri(to_png(drawing), "image/png")
    note = tag("figcaption", caption) if caption else Markup("")
    return tag("figure", join([image(uri, alt), note]), class_=class_)


def row(label: object, cells: Iterable[object], class_: str | None = None) -> Markup:
    """A table row whose first cell names it."""
    return tag("tr", join([tag("th", label, scope="row"), *(tag("td", cell) for cell in cells)], ""), class_=class_)


def table(headers: Sequence[object], rows: Iterable[Markup], class_: str | None = None) -> Markup:
    """A table of `row`s; it scrolls sideways on a narrow screen. No headers, no head."""
    head = tag("thead", tag("tr", join((tag("th", cell, scope="col") for cell in headers), ""))) if headers else ""
    inner = tag("table", join([Markup(head), tag("tbody", join(rows))]), class_=class_)
    # the wrapper takes the keyboard focus, or it could not be scrolled without a pointer
    return tag("div", inner, class_="scroll", tabindex="0")


def folded(summary: object, *content: object) -> Markup:
    """Content behind a line to be opened."""
    return tag("details", join([tag("summary", summary), *content]))


def section(name: str, title: object, *content: object, lead: object = "") -> Markup:
    """A section with an anchor, a heading and an opening sentence."""
    opening = tag("p", lead, class_="lead") if lead else Markup("")
    return tag("section", join([tag("h2", title), opening, *content]), id=name)


def page(title: str, body: Markup) -> str:
    """The whole document; it asks the network for nothing and runs no script."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
