"""What docs/export.md shows is what happens."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from page_blocks import blocks, run_blocks
from small_models import save, small_model

from hf_hyperbolic.data.scenes import write_scenes
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.retrieval import scores

pytestmark = pytest.mark.slow


def test_the_page(tmp_path, monkeypatch, capsys):
    for package in ("onnx", "onnxscript", "onnxruntime", "sentence_transformers"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    save(small_model(), tmp_path / "outputs" / "demo" / "best", similarity_weight=2.0)
    write_scenes(tmp_path / "outputs" / "scenes", "test", 20)
    names = run_blocks(blocks("docs/export.md"))
    assert names["embeds"].shape == (1, 16)

    packages = Path(os.environ.get("NODE_PATH", "")) / "@huggingface/transformers"
    if not shutil.which("node") or not packages.is_dir():
        pytest.skip("all but the JavaScript ran: that needs node, and NODE_PATH with @huggingface/transformers")
    (script,) = (block.code for block in blocks("docs/export.md") if block.language == "js")
    Path("page.mjs").write_text(script.replace("'q8'", "'fp32'") + "console.log(JSON.stringify(embeds));\n")
    Path("node_modules").symlink_to(packages.parents[1].absolute())
    done = subprocess.run(["node", "page.mjs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    found, embeds = done.stdout.splitlines()[-2:]
    rows = torch.tensor(json.loads(embeds))
    curvature = ImageEncoder.from_pretrained("outputs/demo/best").curvature
    expected = scores(rows[:1], rows[1:], "combined", "children", curvature)
    assert float(found) == pytest.approx(expected.item(), abs=1e-4)
