"""All that is pushed loads back from the cache of the Hub: offline and in a clean process."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "retrieval"))
from blocked_package import BLOCK_THE_PACKAGE
from test_push_data import export, source  # noqa: F401

from hf_hyperbolic import HyperbolicCLIPVisionModel, make_image_processor
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.hub.front_matter import CardFacts
from hf_hyperbolic.hub.push_data import push_data, push_index, push_metric
from hf_hyperbolic.hub.push_model import push_model
from hf_hyperbolic.hub.upload import Target
from hf_hyperbolic.retrieval import Index

ROOT = Path(__file__).parents[2]
# as another's process, with no more to go by than the cache
CLEAN = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run_clean(script: str, folder: Path, package: bool = False, **more: str) -> str:
    """Runs a script in a folder with caches of its own below `hf`; what it prints."""
    environment = {**os.environ, **CLEAN, "HF_HOME": str(folder / "hf"), **more}
    for name in ("HF_MODULES_CACHE", "HF_DATASETS_CACHE", "PYTHONPATH"):
        environment.pop(name, None)
    start = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n" if package else BLOCK_THE_PACKAGE
    done = subprocess.run(
        [sys.executable, "-I", "-c", start + textwrap.dedent(script)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def photograph() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8))


@pytest.mark.slow
def test_the_model_by_every_auto_class_and_the_pipeline(hub, run, tmp_path):
    push_model(run, Target("me/model"), CardFacts("me/model"))
    hub.as_cache(tmp_path / "hf", "me/model")
    photograph().save(tmp_path / "photograph.png")
    script = """
        import torch
        from PIL import Image
        from safetensors.torch import save_file
        from transformers import AutoConfig, AutoImageProcessor, AutoModel, pipeline

        try:
            AutoModel.from_pretrained("me/model", trust_remote_code=False)
        except ValueError as error:
            assert "trust_remote_code" in str(error), error
        else:
            raise SystemExit("its code was run unasked")
        config = AutoConfig.from_pretrained("me/model", trust_remote_code=True)
        assert (type(config).__name__, config.projection_dim) == ("HyperbolicCLIPVisionConfig", 16)
        assert type(config).__module__.startswith("transformers_modules."), type(config)
        model = AutoModel.from_pretrained("me/model", trust_remote_code=True).eval()
        processor = AutoImageProcessor.from_pretrained("me/model")
        with torch.no_grad():
            embeds = model(**processor(Image.open("photograph.png"), return_tensors="pt")).embeds
        extract = pipeline("image-feature-extraction", model="me/model", trust_remote_code=True)
        assert type(extract.model).__module__.startswith("transformers_modules."), extract.model
        piped = extract("photograph.png", return_tensors=True)
        assert "hf_hyperbolic" not in sys.modules
        save_file({"embeds": embeds, "piped": piped, "curvature": model.curvature.detach()}, "out.safetensors")
    """
    run_clean(script, tmp_path)
    out = load_file(tmp_path / "out.safetensors")
    model = HyperbolicCLIPVisionModel.from_pretrained(run / "best").eval()
    with torch.no_grad():
        expected = model(**make_image_processor(32)(photograph(), return_tensors="pt")).embeds
    torch.testing.assert_close(out["embeds"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(out["piped"], expected, rtol=0, atol=1e-6)
    assert out["curvature"].item() == pytest.approx(1.5)


@pytest.mark.slow
def test_code_stays_that_of_the_commit_though_main_moved(hub, run, tmp_path):
    first = push_model(run, Target("me/model"), CardFacts("me/model")).revision
    files = dict(hub.files("me/model"))
    code = files["modeling_hyperbolic_clip.py"] + b'\nHyperbolicCLIPVisionModel.said = "second"\n'
    second = hub._commit("me/model", "model", "main", files | {"modeling_hyperbolic_clip.py": code}, "second").oid
    hub._commit(
        "me/model", "model", "main", files | {"modeling_hyperbolic_clip.py": b"raise SystemExit('main')"}, "3rd"
    )
    hub.as_cache(tmp_path / "hf", "me/model")
    script = f"""
        from transformers import AutoModel

        def said(**pins):
            try:
                model = AutoModel.from_pretrained("me/model", trust_remote_code=True, **pins)
            except SystemExit as error:
                return str(error)
            return getattr(type(model), "said", "first")

        first, second = {first!r}, {second!r}
        print(said(revision=first, code_revision=first))
        print(said(revision=first))                        # the code is that of revision
        print(said(revision=first, code_revision=second))  # and that of another commit where one is named
        print(said())                                      # main has moved
    """
    assert run_clean(script, tmp_path).split() == ["first", "first", "second", "main"]


@pytest.mark.slow
def test_the_data_set(hub, export, tmp_path):  # noqa: F811
    push_data(export, Target("me/streets"))
    hub.as_cache(tmp_path / "hf", "me/streets", "dataset")
    script = """
        from datasets import load_dataset
        from huggingface_hub import snapshot_download

        rows = load_dataset(snapshot_download("me/streets", repo_type="dataset"), split="val")
        print(len(rows), rows.features["labels"].feature.names, rows[0]["image"].size, "hf_hyperbolic" in sys.modules)
    """
    assert run_clean(script, tmp_path).strip() == "6 ['house', 'door'] (100, 100) False"


@pytest.mark.slow
def test_the_metric_from_a_dry_run_and_by_its_name(tmp_path):
    push_metric(Target("me/hier_ot"), dry_run=tmp_path / "dry" / "hier_ot")
    compute = "print(metric.compute(predictions=[[1, 0, 0]], references=[[0, 0, 1]])['hier_ot'])\n"
    script = "import evaluate\nmetric = evaluate.load('dry/hier_ot')\n" + compute
    assert run_clean(script, tmp_path).strip() == "2.0"
    script = "import hf_hyperbolic, evaluate\nmetric = evaluate.load('hier_ot')\n" + compute
    assert run_clean(script, tmp_path, package=True).strip() == "2.0"


@pytest.mark.slow
def test_the_index_with_the_model_that_it_names(hub, run, source, tmp_path):  # noqa: F811
    from hf_hyperbolic.data.read import read_source
    from hf_hyperbolic.retrieval.index_build import build_index

    push_model(run, Target("me/model"), CardFacts("me/model"))
    hub.as_cache(tmp_path / "hf", "me/model")
    encoder = ImageEncoder.from_pretrained(run / "best", "cpu")
    build_index(tmp_path / "index", encoder, read_source(source, "val"), str(source), "val", progress=False)
    push_index(tmp_path / "index", Target("me/index"), "me/model")
    commit = hub.branches["dataset", "me/index"]["main"][0].oid
    hub._commit("me/index", "dataset", "main", {"manifest.json": b"{}"}, "main has moved")
    hub.as_cache(tmp_path / "hf", "me/index", "dataset")
    photograph().save(tmp_path / "photograph.png")
    script = f"""
        from hf_hyperbolic.retrieval import Index

        index = Index.open("me/index", revision={commit!r})
        print([found.id for found in index.children("photograph.png", k=3, box=(0, 0, 30, 30))])
        try:
            Index.open("me/index")
        except ValueError as error:
            print("of something else" in str(error))
        try:
            Index.open("me/other")
        except FileNotFoundError as error:
            print(error)
    """
    ids, moved, missing = run_clean(script, tmp_path, package=True).splitlines()
    photograph().save(tmp_path / "elsewhere.png")
    expected = Index.open(tmp_path / "index").children(tmp_path / "elsewhere.png", k=3, box=(0, 0, 30, 30))
    assert ids == str([found.id for found in expected])
    assert moved == "True"
    assert missing.startswith(
        "me/other: no such folder here, and as an index on the Hub it is neither in the cache nor"
    )
