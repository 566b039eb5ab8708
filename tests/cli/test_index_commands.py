import json

import pytest
from PIL import Image

from hf_hyperbolic.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor

    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6)).save_pretrained(
        folder
    )
    make_image_processor(16).save_pretrained(folder)
    return folder


def run(capsys, *words):
    status = main(["index", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def index(model, source, tmp_path, capsys):
    assert run(capsys, "build", model, source, tmp_path / "index", "--split", "val", "--thumbnails", 16)[0] == 0
    return tmp_path / "index"


def test_build_then_search(index, model, source, capsys):
    status, out, _ = run(capsys, "build", model, source, index, "--split", "val")
    assert (status, f"wrote {index}: 11 items, 0 of them now, going on after 3 images" in out) == (0, True)
    image = source / "images" / "val0.png"
    status, out, _ = run(capsys, "search", index, image, "-k", 3)
    assert status == 0
    assert out.splitlines()[0].split() == ["beta", "what", "level", "box", "id", "image"]
    assert len(out.splitlines()) == 4
    words = ("search", index, image, "--box", "10,10,22,22", "--json")
    found = json.loads(run(capsys, *words, "--direction", "parents", "--where", "class=door,house")[1])
    assert (found["direction"], found["measure"], found["box"]) == ("parents", "beta", [10, 10, 22, 22])
    assert {item["label"] for item in found["results"]} == {"door", "house"}
    assert len(found["results"]) == 4
    found = json.loads(run(capsys, *words, "--direction", "path", "-k", 2)[1])
    assert 1 <= len(found["results"]) <= 2
    assert found["results"][0]["at"] == 0


def test_the_sheet_shows_query_and_results(index, source, tmp_path, capsys):
    image = source / "images" / "val1.png"
    words = ("search", index, image, "--direction", "parents", "-k", 4, "--sheet", tmp_path / "out" / "sheet.png")
    status, _, err = run(capsys, *words)
    assert (status, f"wrote {tmp_path / 'out' / 'sheet.png'}" in err) == (0, True)
    sheet = Image.open(tmp_path / "out" / "sheet.png").convert("RGB")
    assert sheet.width > 5 * 240
    # the query's cell, in its colour
    assert sheet.getpixel((60, 60)) == (40, 90, 90)
    # with the images gone the thumbnails are shown
    for file in (source / "images").glob("val[02].png"):
        file.unlink()
    assert run(capsys, *words)[0] == 0
    again = Image.open(tmp_path / "out" / "sheet.png").convert("RGB")
    assert again.size == sheet.size


def test_a_folder_without_annotations(model, source, tmp_path, capsys):
    (source / "images" / "broken.jpg").write_text("no image")
    status, out, err = run(capsys, "build", model, source / "images", tmp_path / "index")
    assert status == 1
    assert "holds no annotations of a known format" in out
    assert "6 items, 6 of them now" in out
    assert "broken.jpg" in err
    assert "1 images cannot be used and were left out: 1 not_an_image" in err
    status, _, err = run(capsys, "build", model, source / "images", tmp_path / "other", "--split", "val")
    assert (status, "found no annotations of split 'val'" in err) == (2, True)


def test_append(index, model, source, capsys):
    words = ("build", model, source, index, "--split", "train")
    status, _, err = run(capsys, *words)
    assert (status, "append" in err, err.splitlines()[-1].startswith("error: ")) == (2, True, True)
    status, out, _ = run(capsys, *words, "--append")
    assert (status, "22 items, 11 of them now" in out) == (0, True)


def test_stopped_by_the_user(model, source, tmp_path, capsys, monkeypatch):
    from hf_hyperbolic.encoder import ImageEncoder

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ImageEncoder, "encode_crops", stop)
        # `dim` embeds an image, which is not what is stopped here
        patch.setattr(ImageEncoder, "dim", 6)
        status, _, err = run(capsys, "build", model, source, tmp_path / "index", "--split", "val")
    assert (status, "give the same command again" in err) == (130, True)
    assert run(capsys, "build", model, source, tmp_path / "index", "--split", "val")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("search", "nowhere", "a.png"), "holds no index"),
        (("search", "INDEX", "nowhere.png"), "nowhere.png: no such file"),
        (("search", "INDEX", "IMAGE", "--where", "class=hose"), "did you mean house?"),
        (("search", "INDEX", "IMAGE", "--where", "colour=red"), "no column 'colour'"),
        (("search", "INDEX", "IMAGE", "--box", "400,400,500,500"), "lies outside the image"),
        (("search", "INDEX", "IMAGE", "--sheet", "out.gif"), "must end in .png or .jpg"),
        (("search", "INDEX", "IMAGE", "-k", "0"), "-k must be at least 1"),
        (("search", "INDEX", "IMAGE", "--model", "/no/model"), "/no/model: no such folder"),
        (("build", "/no/model", "SOURCE", "new", "--split", "val"), "/no/model: no such folder"),
        (("build", "MODEL", "/no/source", "new"), "/no/source: no such file or folder"),
    ],
)
def test_errors_are_one_line(index, model, source, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    places = {"INDEX": index, "IMAGE": source / "images" / "val0.png", "SOURCE": source, "MODEL": model}
    status, out, err = run(capsys, *(places.get(word, word) for word in words))
    assert (status, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


@pytest.mark.parametrize("words", [("--box", "1,2,3"), ("--box", "5,5,1,9"), ("--where", "class"), ("--where", "=x")])
def test_arguments_that_are_none(words, capsys):
    with pytest.raises(SystemExit):
        main(["index", "search", "index", "image.png", *words])
    assert "expected" in capsys.readouterr().err


def test_an_index_becomes_a_qdrant_collection(index, tmp_path, capsys):
    pytest.importorskip("qdrant_edge")
    folder = tmp_path / "collection"
    for _ in range(2):  # what is there is written again
        status, out, _ = run(capsys, "qdrant", index, "--path", folder)
        assert (status, f"{folder}: 11 points, curvature 1.0" in out) == (0, True)
    status, _, err = run(capsys, "qdrant", tmp_path / "nowhere", "--path", folder)
    assert (status, "nowhere" in err) == (2, True)


def test_a_sheet_shows_no_more_than_can_be_looked_at(index, source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hf_hyperbolic.cli.index_search._ON_SHEET", 2)
    image = next(path for path in sorted(source.rglob("*")) if path.suffix in (".png", ".jpg"))
    status, _, err = run(capsys, "search", index, image, "--direction", "children", "--sheet", tmp_path / "s.png")
    assert status == 0
    assert "the first 2 of" in err
    assert (tmp_path / "s.png").exists()
