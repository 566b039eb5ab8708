"""The demo: what is this part of, and what is in this, beside plain similarity search.

    python space/app.py --model outputs/demo/best

Without arguments it serves `model/`, `index/` and `images/` beside this file, or what the variables MODEL, INDEX and
IMAGES name: a folder or a name on the Hub.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from answers import Answers, Box, QuestionError, Subject, parse_box, plain
from cards import QUESTIONS, examples_html, legend_html, path_html, query_uri, results_html
from disk import Disk
from sources import HERE, NothingToServeError, open_source
from uploads import MOST_BYTES, UnusableUploadError, read_upload

from hf_hyperbolic.data.levels import level_name
from hf_hyperbolic.report.html import data_uri, join, tag

RESULTS = 8
_TITLE = """
<h1>What is this part of? What is in this?</h1>
<p>A wheel does not look like a street. Similarity search answers a picture with pictures that look like it; this model
also knows what contains what. Pick an example, pick or draw a box, or send a picture of your own.</p>
"""
_NOTES = {
    "parents": "Only what contains something competes.",
    "children": "Only what is part of something competes, and what nothing is known of.",
}
_SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")


class Demo:
    """The page's events. A `Subject` is what is looked at; every event answers with all that is shown."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.disk = Disk.of(answers.index) if answers.index.curvature is not None else None

    def shown(self, subject: Subject, box: Box | None, direction: str, same: bool) -> list[Any]:
        """Values of `subject, picker, box, direction, hierarchy, similarity, path, disk`."""
        try:
            answer = self.answers.ask(subject, box, direction, RESULTS, same)
        except QuestionError as error:
            raise gr.Error(str(error), print_exception=False) from None
        right = "The same items compete." if same else "All items compete."
        return [
            subject,
            picker_value(subject, box),
            "" if box is None else ", ".join(f"{side:g}" for side in box),
            direction,
            results_html(self.answers, answer.hierarchy, QUESTIONS[direction], _NOTES[direction]),
            results_html(self.answers, answer.similarity, "What looks like this? (cosine)", right),
            path_html(self.answers, subject, box, answer.path),
            self.disk.answer(answer) if self.disk else None,
        ]

    def chosen(self, direction: str, same: bool, event: gr.EventData) -> list[Any]:
        """An item was clicked."""
        given = event._data or {}
        row = given.get("row")
        if not isinstance(row, int):
            raise gr.Error("No such item.", print_exception=False)
        try:
            subject, box = self.answers.of_row(row)
        except QuestionError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return self.shown(subject, box, given.get("direction") or direction, same)

    def picked(self, subject: Subject, direction: str, same: bool, event: gr.EventData) -> list[Any]:
        """A box was picked or drawn in the picture."""
        box = (event._data or {}).get("box")
        return self.typed(subject, ",".join(map(str, box)) if isinstance(box, list) else "", direction, same)

    def typed(self, subject: Subject, text: str, direction: str, same: bool) -> list[Any]:
        """The box was typed, or the question changed."""
        try:
            return self.shown(subject, parse_box(text), direction, same)
        except QuestionError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def uploaded(self, file: str, direction: str, same: bool) -> list[Any]:
        try:
            subject = Subject(read_upload(file or ""), (), "your picture")
        except UnusableUploadError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return self.shown(subject, None, direction, same)

    def hovered(self, row: Any) -> dict[str, str | None] | None:
        """For the disk: picture and name of an item."""
        row = row[0] if isinstance(row, list) and row else row
        if not isinstance(row, int) or not 0 <= row < len(self.answers.index):
            return None
        item = self.answers.index.items([row])[0]
        picture = item["thumbnail"]
        src = data_uri(picture, "image/jpeg") if picture else None
        return {"src": src, "name": self.answers.names([row])[0], "level": level_name(item["level"])}

    def ask(self, image: str, box: str = "", direction: str = "parents", k: int = RESULTS) -> dict[str, Any]:
        """What is a picture, or a box of it (x0, y0, x1, y1 in pixels), part of (parents), or what is in it (children)?

        Boxes are in pixels of the picture as shown, scaled to at most 1024 a side.
        """
        try:
            return self._plain(Subject(read_upload(image or ""), (), "image"), parse_box(box), direction, k)
        except (QuestionError, UnusableUploadError) as error:
            raise gr.Error(str(error), print_exception=False) from None

    def ask_item(self, item: str, direction: str = "parents", k: int = RESULTS) -> dict[str, Any]:
        """The same of an item of the index, by its id."""
        try:
            subject, box = self.answers.of_row(self.answers.index.row(item))
            return self._plain(subject, box, direction, k)
        except KeyError:
            raise gr.Error(f"There is no item {item[:80]!r} in the index.", print_exception=False) from None
        except QuestionError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def _plain(self, subject: Subject, box: Box | None, direction: str, k: int) -> dict[str, Any]:
        answer = self.answers.ask(subject, box, direction, k)
        found = {"hierarchy": answer.hierarchy, "similarity": answer.similarity, "path": answer.path}
        return {kind: None if results is None else plain(results) for kind, results in found.items()}


def picker_value(subject: Subject, box: Box | None) -> dict[str, Any]:
    items = [
        {"row": item.row, "box": item.box and list(item.box), "name": item.name, "level": min(item.level, 4)}
        for item in subject.known
    ]
    width, height = subject.image.size
    src = query_uri(subject, None, side=640)
    return {"src": src, "width": width, "height": height, "items": items, "box": box and list(box)}


def build(demo: Demo) -> gr.Blocks:
    """The page."""
    examples = demo.answers.examples()
    row, direction = examples[0] if examples else (0, "parents")
    first = demo.shown(*demo.answers.of_row(row), direction, False)
    clicks, picker_js, disk_js = ((HERE / name).read_text("utf-8") for name in ("clicks.js", "picker.js", "disk.js"))
    index = demo.answers.index
    model = index.manifest.model

    def hovered(row: Any) -> dict[str, str | None] | None:  # Gradio marks it as callable, which no method can be
        return demo.hovered(row)

    with gr.Blocks(title="What is this part of?", delete_cache=(600, 600), analytics_enabled=False) as page:
        gr.HTML(_TITLE, elem_id="title", js_on_load=None)
        strip = gr.HTML(examples_html(demo.answers, examples), elem_id="examples", js_on_load=clicks)
        with gr.Row(elem_id="question"):
            with gr.Column(scale=4, min_width=280):
                subject = gr.State(first[0], time_to_live=3600)
                picker = gr.HTML(
                    first[1], html_template='<div class="picker"></div>', js_on_load=picker_js, elem_id="picker"
                )
                choices = [(words, name) for name, words in QUESTIONS.items()]
                asked = gr.Radio(choices, value=first[3], label="Question", elem_id="direction")
                box = gr.Textbox(
                    first[2],
                    label="Box: x0, y0, x1, y1 in pixels",
                    placeholder="empty for the whole picture",
                    elem_id="box",
                    max_length=100,
                    submit_btn="Ask",
                )
                upload = gr.UploadButton("Send a picture of your own", elem_id="upload", variant="secondary")
            with gr.Column(scale=8, min_width=280), gr.Row():
                with gr.Column(min_width=240):
                    hierarchy = gr.HTML(first[4], elem_id="hierarchy", js_on_load=clicks)
                with gr.Column(min_width=240):
                    similarity = gr.HTML(first[5], elem_id="similarity", js_on_load=clicks)
                    same = gr.Checkbox(False, label="Let the same items compete here as on the left", elem_id="same")
        path = gr.HTML(first[6], elem_id="path", js_on_load=clicks)
        with gr.Row(visible=demo.disk is not None), gr.Column():
            gr.HTML(_disk_words(), elem_id="disk-words", js_on_load=None)
            disk = gr.HTML(
                first[7],
                html_template='<div class="disk"></div>',
                js_on_load=disk_js,
                elem_id="disk",
                server_functions=[hovered],
                cloud=demo.disk.cloud if demo.disk else None,
            )
        # of a folder its last two parts, not where it lies on this machine
        name = "/".join(Path(model.name).parts[-2:])
        gr.Markdown(
            f"Model {name}, {len(index):,} items, ranked by {model.measures['parents']} (parents) and "
            f"{model.measures['children']} (children). Pictures that are sent are kept for about an hour.",
            elem_id="about",
        )
        outputs = [subject, picker, box, asked, hierarchy, similarity, path, disk]
        listen: dict[str, Any] = {"outputs": outputs, "show_progress": "hidden", "api_visibility": "private"}
        for source in (strip, hierarchy, similarity, path, disk):
            source.chosen(demo.chosen, [asked, same], **listen)
        picker.picked(demo.picked, [subject, asked, same], **listen)
        gr.on([box.submit, asked.input, same.input], demo.typed, [subject, box, asked, same], **listen)
        upload.upload(demo.uploaded, [upload, asked, same], **listen)
        _api(demo)
    return page


def _api(demo: Demo) -> None:
    """What `gradio_client` calls: components that are not shown, since these check where a file lies."""
    with gr.Row(visible=False):
        image = gr.File(type="filepath", label="image")
        item = gr.Textbox(label="item")
        box = gr.Textbox("", label="box")
        direction = gr.Textbox("parents", label="direction")
        k = gr.Number(RESULTS, precision=0, label="k")
        answer = gr.JSON(label="answer")
        # events need something that could trigger them
        gr.Button().click(demo.ask, [image, box, direction, k], answer, api_name="ask")
        gr.Button().click(demo.ask_item, [item, direction, k], answer, api_name="ask_item")


def _disk_words() -> str:
    words = (
        "The Poincare disk: each point at its distance from the origin, its direction seen along two axes. General "
        "things lie near the middle. Ringed: what was found, and the way to the origin. Hover to look, click to search "
        "from there."
    )
    return join([tag("h3", "Where all of it lies"), tag("p", words, class_="note"), legend_html()])


def launch(page: gr.Blocks, **more: Any) -> Any:
    """Starts the server; nothing outside Gradio's own upload folder is served."""
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=list(_SYSTEM_FONTS), font_mono=["ui-monospace", "monospace"]
    ).set(
        # Gradio's own grey has a contrast of 2.6 to 1
        body_text_color_subdued="#52606d",
        body_text_color_subdued_dark="#a9b6c4",
        block_label_text_color="#52606d",
        block_title_text_color="#22303c",
        block_title_text_color_dark="#dde5ee",
        input_placeholder_color="#5f6d79",
        input_placeholder_color_dark="#a9b6c4",
    )
    page.queue(default_concurrency_limit=2, max_size=64)
    return page.launch(
        theme=theme,
        css_paths=[HERE / "style.css"],
        max_file_size=MOST_BYTES,
        allowed_paths=[],
        footer_links=["api", "gradio"],
        **more,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    env = os.environ.get
    parser.add_argument("--model", default=env("MODEL") or None, help="checkpoint folder or name on the Hub")
    parser.add_argument("--index", default=env("INDEX") or None, help="folder of an index, or its name on the Hub")
    parser.add_argument("--images", default=env("IMAGES") or None, help="folder of the images of the index")
    work = Path(tempfile.gettempdir()) / "hf-hyperbolic-space"
    parser.add_argument("--work", type=Path, default=work, help="where an index is built (default: %(default)s)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    options = parser.parse_args(arguments)
    try:
        source = open_source(options.model, options.index, options.images, options.work)
    except (OSError, ValueError, NothingToServeError) as error:
        print(f"{parser.prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    launch(build(Demo(Answers(source.index, source.images))), server_port=options.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
