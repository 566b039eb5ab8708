"""`index search`: what is inside this image or named by this phrase, what is it a part of, what is on the way?"""

import argparse
import json
import sys
from pathlib import Path

# a picture of more is too large to look at
_ON_SHEET = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", help="folder of an index, as `index build` writes it, or its name on the Hub")
    parser.add_argument("image", nargs="?", help="the query, an image file")
    parser.add_argument(
        "--text", metavar="PHRASE", help='a phrase in place of the image, "a wheel"; for models with a text tower'
    )
    parser.add_argument(
        "--direction",
        choices=("children", "parents", "path"),
        default="children",
        help="children: what is inside it, or what a phrase names (default); parents: what it is a part of; path: what "
        "lies on the way to the origin, from the particular to the general",
    )
    parser.add_argument("--box", type=_box, metavar="X0,Y0,X1,Y1", help="ask for this box of the image, in pixels")
    parser.add_argument("-k", type=int, default=10, help="at most so many results (default: %(default)s)")
    parser.add_argument(
        "--where",
        type=_where,
        action="append",
        default=[],
        metavar="COLUMN=VALUE,VALUE",
        help="only items whose class, level, split, id or image is one of these; may be repeated",
    )
    parser.add_argument("--model", help="where the model that made the index is now, if it has moved")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--sheet", metavar="PICTURE", help="write a picture of query and results, .png or .jpg")


def run(options: argparse.Namespace) -> int:
    sheet = Path(options.sheet) if options.sheet else None
    if sheet and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"--sheet {sheet}: the picture must end in .png or .jpg")
    if options.k < 1:
        raise ValueError(f"-k must be at least 1, got {options.k}")
    if (options.image is None) == (options.text is None):
        raise ValueError("give one query: an image file, or a phrase by --text")
    if options.text is not None and options.box is not None:
        raise ValueError("--box is of an image; a phrase by --text has none")
    where: dict[str, list[str]] = {}
    for name, values in options.where:
        where.setdefault(name, []).extend(values)

    from hf_hyperbolic.data.images import decode
    from hf_hyperbolic.retrieval.index import Index

    index = Index.open(options.index, options.model)
    if index.manifest.unfinished:
        print(f"{index}: the same `index build` again finishes it", file=sys.stderr)
    image = decode(options.image) if options.image is not None else None
    if options.direction == "path":
        results = index.path(options.image, box=options.box, where=where, text=options.text)[: options.k]
    else:
        ask = index.parents if options.direction == "parents" else index.children
        results = ask(options.image, options.k, options.box, where, text=options.text)
    if sheet:
        from hf_hyperbolic.retrieval.index_sheet import result_sheet

        sheet.parent.mkdir(parents=True, exist_ok=True)
        query = options.text if image is None else image
        result_sheet(index, query, options.box, results[:_ON_SHEET]).save(sheet, quality=92)
        first = f", the first {_ON_SHEET} of {len(results):,} results" if len(results) > _ON_SHEET else ""
        print(f"wrote {sheet}{first}", file=sys.stderr)
    if options.json:
        asked = {"image": options.image, "box": options.box} if options.text is None else {"text": options.text}
        print(json.dumps({**asked, **results.as_dict()}, indent=1))
    else:
        print(results)
    return 0


def _box(text: str) -> list[float]:
    try:
        sides = [float(side) for side in text.split(",")]
    except ValueError:
        sides = []
    if len(sides) != 4 or not (sides[0] < sides[2] and sides[1] < sides[3]):
        raise argparse.ArgumentTypeError(f"expected x0,y0,x1,y1 with x0 < x1 and y0 < y1, got {text!r}")
    return sides


def _where(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    listed = [value.strip() for value in values.split(",") if value.strip()]
    if not (name.strip() and equals and listed):
        raise argparse.ArgumentTypeError(f"expected COLUMN=VALUE,VALUE, got {text!r}")
    return name.strip(), listed
