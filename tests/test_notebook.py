"""The notebook runs from top to bottom, offline, and comes without outputs."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "start.ipynb"
nbformat = pytest.importorskip("nbformat")
SECONDS = 600  # of a cell, on a machine that has other work


def test_is_committed_without_outputs():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs"), "clear all outputs before committing"


def test_links_lead_somewhere():
    import re

    text = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links)


@pytest.mark.slow
def test_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    # a kernel is a process of its own, and takes these from here
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) == 6, "scenes, parents twice, children, the way, the disk"
    printed = "".join(output.text for output in shown if output.output_type == "stream")
    for words in (
        "120 images",
        "done: outputs/notebook/run/final",
        "ranked by {'children': 'combined'",
        "by similarity alone: ",
    ):
        assert words in printed, printed
