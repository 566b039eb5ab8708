"""The metric as a page: histograms and options in, the distance out. `python app.py` starts it."""

import json
import re
from pathlib import Path
from typing import Any

import evaluate
import gradio as gr

from tests import test_cases  # type: ignore

MOST_RESAMPLES = 10_000
FOLDER = Path(__file__).resolve().parent
metric = evaluate.load(str(FOLDER / "hier_ot.py"))  # type: ignore[attr-defined]


def compute(predictions: str, references: str, options: str) -> dict[str, Any]:
    """The result of JSON inputs; what is wrong with them is shown on the page."""
    read = {}
    for name, text in (("predictions", predictions), ("references", references), ("options", options or "{}")):
        try:
            read[name] = json.loads(text)
        except json.JSONDecodeError as error:
            raise gr.Error(f"{name} is not JSON: {error}") from error
    given = read["options"]
    if not isinstance(given, dict):
        raise gr.Error('options must be an object, for example {"ground": "index"}')
    if isinstance(given.get("parents"), str):
        raise gr.Error("parents must be a list or a map: this page reads no files")
    if isinstance(given.get("resamples"), int) and given["resamples"] > MOST_RESAMPLES:
        raise gr.Error(f"resamples: at most {MOST_RESAMPLES} on this page")
    try:
        return metric.compute(predictions=read["predictions"], references=read["references"], per_query=True, **given)
    except (ValueError, TypeError) as error:
        raise gr.Error(str(error)) from error


page = gr.Interface(
    fn=compute,
    inputs=[
        gr.Textbox(label="predictions: one histogram a query (JSON)", lines=3),
        gr.Textbox(label="references: one histogram a query (JSON)", lines=3),
        gr.Textbox(label="options (JSON): ground, parents, class_names, ...", lines=3, value="{}"),
    ],
    outputs=gr.JSON(label="hier_ot"),
    examples=[[json.dumps(case[key]) for key in ("predictions", "references", "options")] for case in test_cases],
    title="Metric: hier_ot",
    description=metric.description,
    article=re.sub(r"\A---\n.*?\n---\n", "", (FOLDER / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL),
    flagging_mode="never",
)

if __name__ == "__main__":
    page.launch()
