"""One annotation file of Pascal VOC -> the boxes it marks, as written; nothing in it can fetch or grow."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

from hf_hyperbolic.data.image_files import whole_size

_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class MarkedBox:
    """An object or a part of one.

    Attributes:
        where: the file and the XPath of the element in it, counted from 1.
        name: its class; empty where there is none.
        sides: xmin, ymin, xmax and ymax as text, None where absent.
        is_part: a `<part>` inside an `<object>`.
        is_difficult: it, or the object it is a part of, is marked as hard to recognise.
    """

    where: str
    name: str
    sides: tuple[str | None, ...]
    is_part: bool
    is_difficult: bool

    def corners(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 in pixels from the image's corner; NaN where no number is written.

        VOC counts pixels from 1 and names the first and the last one of a box.
        """
        xmin, ymin, xmax, ymax = (_number(side) for side in self.sides)
        return xmin - 1, ymin - 1, xmax, ymax

    def shown(self) -> str:
        """The sides as written, for messages."""
        return "bndbox " + ", ".join(f"{key} {side!r}" for key, side in zip(_SIDES, self.sides, strict=True))


@dataclass(frozen=True)
class Annotation:
    """What an annotation file says.

    Attributes:
        image_name: `<filename>`; empty where there is none.
        size: width and height in pixels, None where they are not stated or no whole numbers.
        boxes: the objects in their order, each before its parts.
    """

    image_name: str
    size: tuple[int, int] | None
    boxes: tuple[MarkedBox, ...]


class BrokenAnnotationError(ValueError):
    """An annotation file that cannot be used.

    Attributes:
        reason: `"missing_annotation"`, `"broken_annotation"`, `"doctype"` or `"not_voc"`; of one that is sound but has
            no image of its own, `"missing_file"`, `"outside_folder"` or `"repeated_file"`.
        file: its path.
        detail: what is wrong.
    """

    def __init__(self, reason: str, file: str, detail: str) -> None:
        super().__init__(reason, file, detail)
        self.reason, self.file, self.detail = reason, file, detail

    def __str__(self) -> str:
        return f"{self.file}: {self.detail} ({self.reason})"


def read_annotation(file: str) -> Annotation:
    """Reads an annotation file.

    A document type declaration is refused, and with it every entity: entities can fetch files or grow without bound.

    Raises:
        BrokenAnnotationError: missing, not XML, with a document type declaration, or of another vocabulary.
    """
    try:
        with open(file, "rb") as stream:
            root = _parse(stream.read())
    except FileNotFoundError as error:
        raise BrokenAnnotationError("missing_annotation", file, "no such annotation file") from error
    except OSError as error:
        raise BrokenAnnotationError("broken_annotation", file, f"cannot be read: {error.strerror}") from error
    except _DoctypeError as error:
        detail = "declares a document type, which is refused: remove the <!DOCTYPE> declaration"
        raise BrokenAnnotationError("doctype", file, detail) from error
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: unknown encodings
        raise BrokenAnnotationError("broken_annotation", file, f"not well-formed XML: {error}") from error
    if root.tag != "annotation":
        detail = f"not a VOC annotation: its root is <{root.tag}>, expected <annotation>"
        raise BrokenAnnotationError("not_voc", file, detail)
    size = whole_size(_number(root.findtext("size/width")), _number(root.findtext("size/height")))
    return Annotation((root.findtext("filename") or "").strip(), size, tuple(_boxes(root, file)))


class _DoctypeError(ValueError):
    """The document declares a type."""


class _NoDoctype(ET.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _DoctypeError(name)


def _parse(content: bytes) -> ET.Element:
    parser = ET.XMLParser(target=_NoDoctype())
    # tag by tag, so that a declaration is refused before the parser meets what uses it
    for tag in re.findall(rb"[^>]*>|[^>]+", content):
        parser.feed(tag)
    return parser.close()


def _boxes(root: ET.Element, file: str) -> Iterator[MarkedBox]:
    for number, element in enumerate(root.findall("object"), start=1):
        where = f"{file}: object[{number}]"
        difficult = (element.findtext("difficult") or "").strip() == "1"
        yield _box(element, where, False, difficult)
        for part_number, part in enumerate(element.findall("part"), start=1):
            yield _box(part, f"{where}/part[{part_number}]", True, difficult)


def _box(element: ET.Element, where: str, is_part: bool, is_difficult: bool) -> MarkedBox:
    name = (element.findtext("name") or "").strip()
    return MarkedBox(where, name, tuple(element.findtext(f"bndbox/{side}") for side in _SIDES), is_part, is_difficult)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
