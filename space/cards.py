"""Answers as HTML: results with thumbnails and scores, the way to the origin, examples. All text is escaped."""

from collections.abc import Sequence

import numpy as np
from answers import Answers, Subject

from hf_hyperbolic.data.levels import DEEPEST, level_name
from hf_hyperbolic.report.html import Markup, data_uri, join, tag, thumbnail_uri
from hf_hyperbolic.report.numbers import measure_name
from hf_hyperbolic.retrieval.index_results import Found, Results

QUESTIONS = {"parents": "What is this part of?", "children": "What is in this?"}


def results_html(answers: Answers, results: Results, title: str, note: str) -> Markup:
    """A column of results; a click on one asks about it."""
    head = join([tag("h3", title), tag("p", note, class_="note")])
    foot = tag("p", f"Score: {measure_name(results.measure)}. {results.candidates:,} items competed.", class_="note")
    if not results:
        return join([head, tag("p", "Nothing in the index can answer this.", class_="none")])
    pictures = answers.thumbnails([item.row for item in results])
    cards = [
        tag("li", _card(item, name, picture, f"{item.score:.2f}"))
        for item, name, picture in zip(results, answers.names([item.row for item in results]), pictures, strict=True)
    ]
    return join([head, tag("ol", join(cards), class_="hits"), foot])


def path_html(answers: Answers, query: Subject, box: Sequence[float] | None, path: Results | None) -> Markup:
    """From what was asked about, over ever more general items, to the origin."""
    head = tag("h3", "The way from here to the most general")
    if path is None:
        return join([head, tag("p", "This model's space has no origin to walk to.", class_="none")])
    note = "The nearest item at each step of the straight line from this embedding to the origin."
    asked = join([_picture(query_uri(query, box), "what was asked about"), tag("b", "this")], "")
    steps = [tag("li", tag("div", asked, class_="card start"))]
    rows = [item.row for item in path]
    for item, name, picture in zip(path, answers.names(rows), answers.thumbnails(rows), strict=True):
        steps.append(tag("li", _card(item, name, picture, f"{item.at or 0:.0%} of the way")))
    origin = join([tag("span", "+", class_="cross"), tag("b", "origin")], "")
    steps.append(tag("li", tag("div", origin, class_="card end")))
    return join([head, tag("p", note, class_="note"), tag("ol", join(steps), class_="way")])


def examples_html(answers: Answers, examples: Sequence[tuple[int, str]]) -> Markup:
    """A strip of questions to start from."""
    cards = []
    rows = [row for row, _ in examples]
    for (row, direction), name, picture in zip(examples, answers.names(rows), answers.thumbnails(rows), strict=True):
        uri = data_uri(picture, "image/jpeg") if picture else None
        content = join([_picture(uri, ""), tag("b", name), tag("small", QUESTIONS[direction])], "")
        cards.append(
            tag("li", tag("button", content, type="button", class_="card", data_row=row, data_direction=direction))
        )
    return Markup(tag("ul", join(cards), class_="examples", aria_label="Examples"))


def legend_html() -> Markup:
    levels = [tag("span", level_name(level), class_=f"level level-{level}") for level in range(DEEPEST + 1)]
    return Markup(tag("p", join(levels, " "), class_="legend"))


def query_uri(subject: Subject, box: Sequence[float] | None, side: int = 144) -> str:
    """What is asked about, cut out, as a small JPEG inside the page."""
    image = subject.image
    if box is not None:
        x0, y0, x1, y1 = box
        image = image.crop((int(x0), int(y0), max(int(x0) + 1, round(x1)), max(int(y0) + 1, round(y1))))
    return thumbnail_uri(np.asarray(image), side)


def _card(item: Found, name: str, picture: bytes | None, figure: str) -> Markup:
    uri = data_uri(picture, "image/jpeg") if picture else None
    level = tag("small", level_name(item.level), class_=f"level level-{min(item.level, DEEPEST)}")
    content = join([_picture(uri, ""), tag("b", name), level, tag("small", figure, class_="figure")], "")
    label = f"{name}, {level_name(item.level)}, {figure}: search from here"
    return tag("button", content, type="button", class_="card", data_row=item.row, title=item.id, aria_label=label)


def _picture(uri: str | None, alt: str) -> Markup:
    if uri is None:
        return tag("span", "", class_="blank")
    return Markup(f'<img src="{uri}" alt="{alt}">')
