"""The folder loads in a process that cannot import this package, and embeds and ranks as the checkpoint does."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from blocked_package import BLOCK_THE_PACKAGE
from PIL import Image
from safetensors.numpy import load_file
from small_models import save, small_model

from hf_hyperbolic.export.checkpoint import load_checkpoint
from hf_hyperbolic.export.sentence_transformers_folder import export_sentence_transformers
from hf_hyperbolic.retrieval import scores

sentence_transformers = pytest.importorskip("sentence_transformers", minversion="6.2")
pytestmark = pytest.mark.slow

SCRIPT = """
    import numpy as np
    from PIL import Image
    from pathlib import Path
    from safetensors.numpy import save_file
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, pipeline

    files = sorted(str(file) for file in Path("photographs").glob("*.png"))
    model = SentenceTransformer("out", trust_remote_code=True, device="cpu")
    embeds = model.encode(files)
    assert model.encode(files[0]).shape == (16,)
    opened = [Image.open(file) for file in files]
    assert np.array_equal(model.encode(opened), embeds)
    assert np.array_equal(model.encode([np.asarray(image) for image in opened]), embeds)
    table = model.similarity(embeds[:4], embeds)
    model[0].direction = "parents"
    found = {"embeds": embeds, "children": table.numpy(), "parents": model.similarity(embeds[:4], embeds).numpy(),
             "pairs": model.similarity_pairwise(embeds[:4], embeds[4:8]).numpy()}
    assert model.similarity(embeds[0], embeds[1]).shape == (1, 1)

    # saved by sentence-transformers and loaded again
    model.save_pretrained("again")
    again = SentenceTransformer("again", trust_remote_code=True, device="cpu")
    assert np.array_equal(again.encode(files), embeds)
    assert np.array_equal(again.similarity(embeds[:4], embeds).numpy(), found["parents"])

    # the folder is a checkpoint still
    extract = pipeline("image-feature-extraction", model="out", trust_remote_code=True, device="cpu")
    found["pipeline"] = np.concatenate([rows.numpy() for rows in extract(files, return_tensors=True)])

    for wrong in ([3], ["a photograph of a cat"]):
        try:
            model.encode(wrong)
        except ValueError as error:
            assert "image" in str(error), error
        else:
            raise SystemExit(f"{wrong} was embedded")
    save_file(found, "found.safetensors")
"""


def test_in_a_clean_process(checkpoint, photographs, tmp_path):
    encoder = load_checkpoint(checkpoint)
    agreement = export_sentence_transformers(encoder, tmp_path / "out")
    assert agreement.largest_difference < 1e-5
    assert not list((tmp_path / "out").glob("*.bin"))
    (tmp_path / "photographs").symlink_to(photographs)
    variables = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_MODULES_CACHE": str(tmp_path / "modules")}
    variables |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    variables.pop("PYTHONPATH", None)
    code = BLOCK_THE_PACKAGE + textwrap.dedent(SCRIPT) + '\nassert "hf_hyperbolic" not in sys.modules\n'
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "found.safetensors")
    ours = encoder.encode([Image.open(file) for file in sorted(photographs.glob("*.png"))])
    np.testing.assert_allclose(found["embeds"], ours, atol=1e-5)
    np.testing.assert_allclose(found["pipeline"], found["embeds"], atol=1e-6)
    rows = torch.tensor(found["embeds"])
    apart = ~torch.eye(4, 15, dtype=torch.bool)  # of an item and itself the angle is not determined
    for direction in ("children", "parents"):
        expected = scores(rows[:4], rows, "combined", direction, encoder.curvature)
        np.testing.assert_allclose(found[direction][apart], expected[apart], atol=1e-4)
    assert np.abs(found["children"] - found["parents"])[apart].max() > 0.01
    expected = scores(rows[:4], rows[4:8], "combined", "parents", encoder.curvature).diag()
    np.testing.assert_allclose(found["pairs"], expected, atol=1e-4)


def test_euclidean_and_what_is_refused(tmp_path):
    save(small_model(geometry="euclidean"), tmp_path / "model")
    encoder = load_checkpoint(tmp_path / "model")
    with pytest.raises(ValueError, match="unknown direction 'up'"):
        export_sentence_transformers(encoder, tmp_path / "out", "up")
    export_sentence_transformers(encoder, tmp_path / "out", "parents")
    from hf_hyperbolic.sentence_transformers_hyperbolic import HyperbolicImageModule

    module = HyperbolicImageModule.load(str(tmp_path / "out"))
    rows = torch.randn(5, 16)
    expected = scores(rows[:2], rows[2:], "euclidean_beta", "parents")
    torch.testing.assert_close(module.similarity(rows[:2].numpy(), list(rows[2:])), expected)
    with pytest.raises(ValueError, match="unknown direction 'down'"):
        module.similarity(rows, rows, "down")
    with pytest.raises(ValueError, match="takes no prompt"):
        module.preprocess([np.zeros((4, 4, 3), np.uint8)], prompt="query: ")
