import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from page_blocks import blocks, run_blocks
from PIL import Image
from tokenizers import Tokenizer
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel, PreTrainedTokenizerFast

from hf_hyperbolic import HyperbolicCLIPVisionModel, ImageEncoder
from hf_hyperbolic.cli.main import main
from hf_hyperbolic.converters.meru import convert_meru, convert_meru_file
from hf_hyperbolic.converters.timm_vit import PUBLISHED_HEADS, vit_from_timm
from hf_hyperbolic.data.files import sha256
from hf_hyperbolic.training.class_phrases import word_tokenizer

WIDTH, HEADS, DEPTH, PATCH, SIDE, DIM = 32, 4, 2, 8, 32, 16
TEXT_WIDTH, VOCABULARY, CONTEXT = 128, 40, 12
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def positions(width=WIDTH, side=SIDE // PATCH):
    """Fixed sines and cosines of the place in the grid (MoCo v3), nought for the class token."""
    column, row = torch.meshgrid(torch.arange(side).float(), torch.arange(side).float(), indexing="ij")
    pace = 10000.0 ** (-torch.arange(width // 4) / (width // 4))
    angles = [place.reshape(-1, 1) * pace for place in (column, row)]
    found = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1)
    return torch.cat([torch.zeros(1, width), found])[None]


def make_text(normal):
    """MERU's text encoder, by the names of its layers."""
    width = TEXT_WIDTH
    text = {"token_embed.weight": normal(VOCABULARY, width), "posit_embed": normal(CONTEXT, width, scale=0.5)}
    text["attn_mask"] = torch.triu(torch.ones(CONTEXT, CONTEXT), diagonal=1).bool()
    layers = {"mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width), "attn.out_proj": (width, width)}
    for block in range(DEPTH):
        for name, (out, into) in layers.items():
            text[f"resblocks.{block}.{name}.weight"] = normal(out, into, scale=into**-0.5)
            text[f"resblocks.{block}.{name}.bias"] = normal(out, scale=0.2)
        text[f"resblocks.{block}.attn.in_proj_weight"] = normal(3 * width, width, scale=width**-0.5)
        text[f"resblocks.{block}.attn.in_proj_bias"] = normal(3 * width, scale=0.2)
    for name in ("ln_final", *(f"resblocks.{block}.ln_{place}" for block in range(DEPTH) for place in (1, 2))):
        text |= {f"{name}.weight": 1 + normal(width, scale=0.2), f"{name}.bias": normal(width, scale=0.2)}
    return text


def published_text(checkpoint, texts):
    """Space components, as MERU's `encode_text(tokens, project=True)` gives them, text by text without filling up."""
    state = checkpoint["model"]

    def linear(x, name):
        return F.linear(x, state[f"textual.{name}.weight"], state[f"textual.{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], state[f"textual.{name}.weight"], state[f"textual.{name}.bias"], eps=1e-5)

    found = []
    for tokens in texts:
        x = state["textual.token_embed.weight"][torch.tensor(tokens)] + state["textual.posit_embed"][: len(tokens)]
        ahead = torch.triu(torch.ones(len(tokens), len(tokens)), diagonal=1).bool()
        for block in range(DEPTH):
            name = f"resblocks.{block}"
            y = norm(x, f"{name}.ln_1")
            qkv = F.linear(
                y, state[f"textual.{name}.attn.in_proj_weight"], state[f"textual.{name}.attn.in_proj_bias"]
            ).split(TEXT_WIDTH, 1)
            heads = []
            for head in range(TEXT_WIDTH // 64):
                q, k, v = (part[:, 64 * head : 64 * (head + 1)] for part in qkv)
                heads.append((q @ k.T / 8).masked_fill(ahead, -torch.inf).softmax(-1) @ v)
            x = x + linear(torch.cat(heads, 1), f"{name}.attn.out_proj")
            x = x + linear(F.gelu(linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc")), f"{name}.mlp.c_proj")
        end = norm(x, "ln_final")[int(np.argmax(tokens))]
        v = F.linear(end, state["textual_proj.weight"]) * state["textual_alpha"].exp()
        radius = state["curv"].exp() ** 0.5 * v.norm()
        found.append(radius.clamp(1e-8, math.asinh(2**15)).sinh() * v / radius.clamp(min=1e-8))
    return torch.stack(found)


def make_checkpoint(width=WIDTH, alpha=-1.0, curvature=0.4):
    """A checkpoint of the published layout: timm's ViT, projections, scalars, text tower, optimiser and scheduler."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape, scale=1.0):
        return torch.randn(*shape, generator=random) * scale

    visual = {"cls_token": normal(1, 1, width), "pos_embed": positions(width)}
    visual |= {"patch_embed.proj.weight": normal(width, 3, PATCH, PATCH, scale=0.1)}
    visual |= {"patch_embed.proj.bias": normal(width)}
    layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    layers |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    for block in range(DEPTH):
        for name, (out, into) in layers.items():
            visual[f"blocks.{block}.{name}.weight"] = normal(out, into, scale=into**-0.5)
            visual[f"blocks.{block}.{name}.bias"] = normal(out, scale=0.2)
    for name in ("norm", *(f"blocks.{block}.norm{place}" for block in range(DEPTH) for place in (1, 2))):
        visual |= {f"{name}.weight": 1 + normal(width, scale=0.2), f"{name}.bias": normal(width, scale=0.2)}
    state = {f"visual.{name}": value for name, value in visual.items()}
    state |= {f"textual.{name}": value for name, value in make_text(normal).items()}
    state |= {"visual_proj.weight": normal(DIM, width, scale=width**-0.5)}
    state |= {"textual_proj.weight": normal(DIM, TEXT_WIDTH, scale=TEXT_WIDTH**-0.5)}
    state |= {"visual_alpha": torch.tensor(alpha), "textual_alpha": torch.tensor(-2.0)}
    state |= {"curv": torch.tensor(curvature).log(), "logit_scale": torch.tensor(1 / 0.07).log()}
    state |= {"pixel_mean": torch.tensor(MEAN).view(3, 1, 1), "pixel_std": torch.tensor(STD).view(3, 1, 1)}
    return {
        "model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]}, "scheduler": {"last_epoch": 3},
        "scaler": {"scale": 65536.0}, "iteration": 120000,
    }  # fmt: skip


def published_forward(checkpoint, images, heads=HEADS):
    """Space components, as MERU's `encode_image(images, project=True)` gives them for pixels in [0, 1]."""
    state = checkpoint["model"]
    vit = {name.removeprefix("visual."): value for name, value in state.items() if name.startswith("visual.")}

    def linear(x, name):
        return F.linear(x, vit[f"{name}.weight"], vit[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], vit[f"{name}.weight"], vit[f"{name}.bias"], eps=1e-5)

    x = (images - state["pixel_mean"]) / state["pixel_std"]
    x = F.conv2d(x, vit["patch_embed.proj.weight"], vit["patch_embed.proj.bias"], stride=PATCH)
    x = torch.cat([vit["cls_token"].expand(len(x), -1, -1), x.flatten(2).mT], 1) + vit["pos_embed"]
    for block in range(DEPTH):
        name = f"blocks.{block}"
        count, tokens, width = x.shape
        qkv = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv")
        q, k, v = qkv.reshape(count, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        weights = ((q * (width // heads) ** -0.5) @ k.mT).softmax(-1)
        x = x + linear((weights @ v).transpose(1, 2).reshape(count, tokens, width), f"{name}.attn.proj")
        x = x + linear(F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")
    v = F.linear(norm(x, "norm")[:, 0], state["visual_proj.weight"]) * state["visual_alpha"].exp()
    radius = state["curv"].exp() ** 0.5 * v.norm(dim=-1, keepdim=True)
    return radius.clamp(1e-8, math.asinh(2**15)).sinh() * v / radius.clamp(min=1e-8)


def images(count=3):
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def normalised(pixels):
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def embeds(model, pixels):
    with torch.no_grad():
        return model(pixel_values=normalised(pixels)).embeds


@pytest.fixture(scope="module")
def checkpoint():
    return make_checkpoint()


@pytest.fixture
def file(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / "meru_vit_s.pth")
    return tmp_path / "meru_vit_s.pth"


# the last two beyond the bounds of training, where the optimiser's last step may have left the curvature
@pytest.mark.parametrize("curvature", [1.0, 0.1, 10.0, 0.0995, 10.2])
def test_embeddings_are_those_of_the_published_code(curvature):
    checkpoint = make_checkpoint(curvature=curvature)
    expected = published_forward(checkpoint, images())
    converted = convert_meru(checkpoint, HEADS)
    torch.testing.assert_close(embeds(converted.model, images()), expected, rtol=1e-5, atol=1e-5)
    assert expected.norm(dim=1).min() > 0.5
    assert (expected[0] - expected[1]).norm() > 0.01
    assert converted.model.curvature.item() == pytest.approx(curvature, rel=1e-6)
    assert converted.model.temperature.item() == pytest.approx(0.07, rel=1e-6)
    assert (converted.mean, converted.std, converted.image_size) == (MEAN, STD, SIDE)
    assert converted.has_text


TEXTS = ([38, 5, 7, 39], [38, 39], [38, 5, 5, 1, 30, 2, 8, 9, 3, 11, 12, 39])


@pytest.mark.parametrize(("curvature", "alpha"), [(1.0, -2.0), (0.0995, -0.5), (10.2, -1.5), (0.4, 2.5)])
@pytest.mark.parametrize("filler", [0, 39])
def test_embeddings_of_texts_are_those_of_the_published_code(curvature, alpha, filler):
    checkpoint = make_checkpoint(curvature=curvature)
    checkpoint["model"]["textual_alpha"] = torch.tensor(alpha)
    expected = published_text(checkpoint, TEXTS)
    model = convert_meru(checkpoint, HEADS).model
    ids = torch.tensor([[*tokens, *[filler] * (CONTEXT - len(tokens))] for tokens in TEXTS])
    masks = (torch.arange(CONTEXT) < torch.tensor([[len(tokens)] for tokens in TEXTS])).long()
    size = expected.norm(dim=1).max().item()
    with torch.no_grad():
        for mask in (masks, None):
            found = model.get_text_embeds(ids, mask)
            torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5 * max(1, size))
        # one space: the curvature is that of the images
        radius = model.radii(found)
    limit = math.asinh(2**15) / curvature**0.5
    assert (radius <= limit * 1.001).all()
    assert ((radius / limit).max() > 0.99) == (alpha == 2.5)
    assert model.text_alpha.item() == pytest.approx(math.exp(alpha), rel=1e-6)
    assert model.config.text_config.num_attention_heads == 2


def test_a_checkpoint_without_text_is_converted_as_an_image_encoder(checkpoint):
    state = {name: value for name, value in checkpoint["model"].items() if not name.startswith("textual")}
    converted = convert_meru({"model": state}, HEADS)
    assert not converted.has_text
    assert type(converted.model) is HyperbolicCLIPVisionModel
    torch.testing.assert_close(
        embeds(converted.model, images()), published_forward(checkpoint, images()), rtol=1e-5, atol=1e-5
    )


def test_a_tokenizer_lies_beside_the_text_tower(file, checkpoint, tmp_path, capsys):
    words = word_tokenizer(["a wheel"], CONTEXT)
    words.save_pretrained(tmp_path / "wrong")
    command = ["backbone", "meru", str(file), str(tmp_path / "out"), "--heads", str(HEADS), "--tokenizer"]
    for name, message in (("wrong", "ends a text by 3; the text tower has 40 and 39"), ("nowhere", "there is none")):
        assert main([*command, str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err
    # CLIP's own is made of 49,408 tokens: this one has the published text tower's last number as its end
    inner = json.loads((tmp_path / "wrong" / "tokenizer.json").read_text())
    vocabulary = {f"word{number}": number for number in range(37)} | {"<unk>": 37, "<s>": 38, "</s>": 39}
    inner["model"]["vocab"] = vocabulary | {"wheel": vocabulary.pop("word5")}
    inner["added_tokens"] = []
    inner["post_processor"]["special_tokens"]["<s>"]["ids"] = [38]
    inner["post_processor"]["special_tokens"]["</s>"]["ids"] = [39]
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(inner)), unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="</s>", model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(tmp_path / "right")  # fmt: skip
    assert main([*command, str(tmp_path / "right")]) == 0
    assert "with its text tower and tokenizer" in capsys.readouterr().out
    found = ImageEncoder.from_pretrained(tmp_path / "out", device="cpu").encode_text(["wheel", "word7 Wheel"])
    expected = published_text(checkpoint, [[38, 5, 39], [38, 7, 5, 39]])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_far_out_they_are_shortened_alike():
    checkpoint = make_checkpoint(alpha=2.5)
    expected = published_forward(checkpoint, images())
    # the premise: the clamp is what decides
    assert torch.allclose(0.4**0.5 * expected.norm(dim=1), torch.tensor(2.0**15), rtol=1e-3)
    found = embeds(convert_meru(checkpoint, HEADS).model, images())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * 2**15)


def test_the_number_of_heads_matters_and_is_that_of_the_published_model(checkpoint):
    others = embeds(convert_meru(checkpoint, 2 * HEADS).model, images())
    assert (others - published_forward(checkpoint, images())).abs().max() > 1e-3
    assert PUBLISHED_HEADS[384] == 12  # MoCo v3's small ViT, not timm's with 6
    wide = make_checkpoint(384)
    converted = convert_meru(wide)
    expected = published_forward(wide, images(1), heads=12)
    torch.testing.assert_close(embeds(converted.model, images(1)), expected, rtol=1e-5, atol=1e-5)


def test_half_precision_and_a_bare_state_dict(checkpoint):
    state = {name: value.half() for name, value in checkpoint["model"].items()}
    expected = published_forward({"model": {name: value.float() for name, value in state.items()}}, images())
    found = convert_meru(state, HEADS).model
    assert found.dtype == torch.float32
    with torch.no_grad():
        pixels = (images() - state["pixel_mean"].float()) / state["pixel_std"].float()
        torch.testing.assert_close(found(pixel_values=pixels).embeds, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["meru", "hycoclip"])
def test_the_folder_loads_and_says_where_it_came_from(kind, file, checkpoint, tmp_path, capsys):
    folder = tmp_path / "out"
    assert main(["backbone", kind, str(file), str(folder), "--heads", str(HEADS)]) == 0
    printed = capsys.readouterr().out
    assert "16 dimensions, curvature -0.4, images of 32 px; with its text tower, which waits for" in printed
    expected = published_forward(checkpoint, images())
    for loaded in (HyperbolicCLIPVisionModel.from_pretrained(folder), AutoModel.from_pretrained(folder)):
        torch.testing.assert_close(embeds(loaded, images()), expected, rtol=1e-5, atol=1e-5)
    ids = torch.tensor([[38, 4, 39]])
    with torch.no_grad():
        found = AutoModel.from_pretrained(folder).get_text_embeds(ids)
    torch.testing.assert_close(found, published_text(checkpoint, ids.tolist()), rtol=1e-5, atol=1e-5)
    processor = AutoImageProcessor.from_pretrained(folder)
    assert (list(processor.image_mean), list(processor.image_std)) == (MEAN, STD)
    record = json.loads((folder / "conversion.json").read_text())
    assert record["source"]["sha256"] == sha256(file)
    assert record["source"]["file"] == file.name
    general = {"meru": ("text", "image"), "hycoclip": ("box", "full image")}[kind]
    assert (record["general"], record["specific"]) == general
    assert record["direction"] in printed
    assert ("the reverse of hf_hyperbolic" in printed) == (kind == "hycoclip")
    assert sorted(path.name for path in tmp_path.iterdir()) == [file.name, "out"]
    assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pth", ".pt")]


@pytest.mark.slow
def test_its_code_travels_with_it(file, checkpoint, tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "hf_hyperbolic", "backbone", "meru", file, folder, "--heads", str(HEADS)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    # a process that never imports the package
    torch.save(normalised(images()), tmp_path / "pixels.pt")
    script = (
        "import sys, torch\nfrom transformers import AutoModel\n"
        f"model = AutoModel.from_pretrained({str(folder)!r}, trust_remote_code=True)\n"
        f"embeds = model(pixel_values=torch.load({str(tmp_path / 'pixels.pt')!r})).embeds.detach()\n"
        f"assert 'hf_hyperbolic' not in sys.modules\ntorch.save(embeds, {str(tmp_path / 'embeds.pt')!r})\n"
    )
    environment = {**environment, "PYTHONPATH": "", "HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, cwd=tmp_path, capture_output=True)
    found = torch.load(tmp_path / "embeds.pt")
    torch.testing.assert_close(found, published_forward(checkpoint, images()), rtol=1e-5, atol=1e-5)


def test_an_encoder_of_it_sees_and_ranks_as_it_should(file, checkpoint, tmp_path):
    from hf_hyperbolic.training.systems import pretrained

    convert_meru_file(file, tmp_path / "out", "hycoclip", HEADS)
    encoder = ImageEncoder.from_pretrained(tmp_path / "out", device="cpu")
    assert encoder.measures == {"children": "distance", "parents": "distance"}
    assert encoder.settings == {}
    pixels = (images(1) * 255).to(torch.uint8)
    found = encoder.encode([Image.fromarray(pixels[0].permute(1, 2, 0).numpy())])
    expected = published_forward(checkpoint, pixels.float() / 255)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    system = pretrained(str(tmp_path / "out"))
    assert system.measures == dict.fromkeys(("children", "parents", "pairs"), "distance")
    # nothing is made up about how it was trained
    assert not system.known
    assert system.trained_on("scenes") is None
    (tmp_path / "out" / "conversion.json").unlink()
    assert ImageEncoder.from_pretrained(tmp_path / "out").measures["parents"] == "beta"


def test_it_can_be_published_as_what_it_is(file, tmp_path):
    from hf_hyperbolic.hub.run import TrainedModel

    convert_meru_file(file, tmp_path / "out", heads=HEADS)
    found = TrainedModel.find(tmp_path / "out")
    # the card is one of weights that others trained (see tests/hub/test_push_converted.py)
    assert found.conversion["source"]["model"] == "MERU"
    assert {"conversion.json", "modeling_hyperbolic_clip_text.py"} <= found.public_files().keys()


def test_its_vit_is_a_backbone_to_train_from(file, checkpoint, tmp_path):
    convert_meru_file(file, tmp_path / "out", heads=HEADS)
    whole = HyperbolicCLIPVisionModel.from_pretrained(tmp_path / "out")
    whole.backbone.save_pretrained(tmp_path / "vit")
    model = HyperbolicCLIPVisionModel.from_backbone_pretrained(tmp_path / "vit", projection_dim=8)
    with torch.no_grad():
        pixels = normalised(images())
        expected = whole(pixel_values=pixels).pooler_output
        torch.testing.assert_close(model(pixel_values=pixels).pooler_output, expected)
        # the class token itself
        torch.testing.assert_close(expected, whole(pixel_values=pixels).last_hidden_state[:, 0])


@pytest.mark.slow
def test_the_page_is_what_happens(tmp_path, monkeypatch, capsys):
    from hf_hyperbolic.data.scenes import write_scenes

    monkeypatch.chdir(tmp_path)
    write_scenes("outputs/scenes", "test", 3, size=64)
    for split in ("train", "val"):
        write_scenes("photos", split, 8, size=64)
    for name in ("meru_vit_l.pth", "hycoclip_vit_s.pth"):
        torch.save(make_checkpoint(384), name)
    names = run_blocks(blocks("docs/converters.md"))
    assert names["encoder"].measures == {"children": "distance", "parents": "distance"}
    manifest = json.loads(Path("outputs/hycoclip-index/manifest.json").read_text())
    assert manifest["model"]["measures"] == {"children": "distance", "parents": "distance"}
    assert {path.name for path in Path("outputs").iterdir()} >= {"meru", "hycoclip", "meru-vit", "hycoclip-index"}
    # as the page says it for 224 px: the short side scaled, the centre cut out
    processor = AutoImageProcessor.from_pretrained("outputs/meru", size={"shortest_edge": SIDE}, do_center_crop=True)
    wide = np.tile(np.arange(2 * SIDE, dtype=np.uint8)[None, :, None], (SIDE, 1, 3))
    seen = processor(Image.fromarray(wide), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    expected = (wide[:, SIDE // 2 : 3 * SIDE // 2] / 255 - MEAN) / STD
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def changed(checkpoint, drop=(), **values):
    """Without some weights, and with others; `__` in a name stands for a dot."""
    state = {name: value for name, value in checkpoint["model"].items() if name not in drop}
    return {"model": state | {name.replace("__", "."): value for name, value in values.items()}}


def test_what_is_no_such_checkpoint_is_named(checkpoint):
    for broken, message in (
        (changed(checkpoint, ["curv"]), "it lacks curv: is it a CLIP baseline"),
        (changed(checkpoint, ["curv", "visual_proj.weight"]), "it lacks visual_proj.weight, curv$"),
        ({"state_dict": {"conv1.weight": torch.zeros(1)}}, "lacks visual_proj.weight, visual_alpha, curv, logit_scale"),
        ({"model": [1]}, "no state dict"),
        (changed(checkpoint, ["visual.cls_token"]), r'lacks cls_token: only a plain ViT .*global_pool="token"'),
        (changed(checkpoint, ["visual.blocks.0.attn.qkv.bias"]), "lacks blocks.0.attn.qkv.bias"),
        (changed(checkpoint, ["visual.pos_embed"]), "lacks pos_embed"),
        (changed(checkpoint, visual__blocks__1__ls1__gamma=torch.zeros(1)), "has blocks.1.ls1.gamma: only a plain ViT"),
        (changed(checkpoint, visual_adapter__weight=torch.zeros(1)), "has visual_adapter.weight, which the published"),
        (changed(checkpoint, visual__norm__bias=torch.zeros(7)), r"norm.bias has shape \(7,\), expected \(32,\)"),
        (changed(checkpoint, visual__pos_embed=torch.zeros(1, 16, WIDTH)), "a square grid"),
        (changed(checkpoint, visual_proj__weight=torch.zeros(4, 5)), r"visual_proj.weight has shape \(4, 5\)"),
        (changed(checkpoint, curv=torch.zeros(2)), r"curv has shape \(2,\)"),
        (changed(checkpoint, curv=torch.tensor(-200.0)), "curv is -200.0"),
        (changed(checkpoint, pixel_std=torch.ones(1)), "pixel_std has shape"),
        (changed(checkpoint, ["textual_alpha"]), "it lacks textual_alpha, and has other weights of a text tower"),
        (changed(checkpoint, ["textual.posit_embed"]), "the text tower lacks posit_embed as a matrix"),
        (changed(checkpoint, ["textual.ln_final.bias"]), "the text tower lacks textual.ln_final.bias"),
        (changed(checkpoint, textual__adapter=torch.zeros(1)), "the text tower has textual.adapter"),
        (changed(checkpoint, textual__ln_final__bias=torch.zeros(7)), r"textual.ln_final.bias has shape \(7,\)"),
        (changed(checkpoint, textual_proj__weight=torch.zeros(4, 5)), r"textual_proj.weight has shape \(4, 5\)"),
        (changed(checkpoint, textual__posit_embed=torch.full((CONTEXT, TEXT_WIDTH), math.inf)), "no finite numbers in"),
        (changed(checkpoint, visual__cls_token=torch.full((1, 1, WIDTH), math.nan)), "no finite numbers in visual.cls"),
    ):
        with pytest.raises(ValueError, match=message):
            convert_meru(broken, HEADS)


def test_an_unknown_width_asks_for_heads(checkpoint):
    with pytest.raises(ValueError, match=r"is 32 wide; those published are 384, 768, 1024 wide.*--heads"):
        convert_meru(checkpoint)
    for heads in (0, 5):
        with pytest.raises(ValueError, match="do not divide the width 32"):
            convert_meru(checkpoint, heads)
    with pytest.raises(ValueError, match=r"lacks patch_embed.proj.weight: it is no Vision Transformer"):
        vit_from_timm({"conv1.weight": torch.zeros(1)})


class Intruder:
    def __reduce__(self):
        return print, ("this ran",)


def test_the_command_says_what_is_wrong_with_a_file(file, checkpoint, tmp_path, capsys):
    (tmp_path / "cut.pth").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    torch.save({**checkpoint, "config": Intruder()}, tmp_path / "code.pth")
    torch.save(changed(checkpoint, ["curv", "visual_alpha"]), tmp_path / "clip.pth")
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.iterdir())
    for name, output, message in (
        ("nowhere.pth", "out", "nowhere.pth is not a file"),
        ("cut.pth", "out", "cut.pth cannot be read as a PyTorch checkpoint: is the download complete?"),
        ("code.pth", "out", "would run code from the file: save its state_dict alone, where you trust it"),
        ("clip.pth", "out", "clip.pth cannot be converted as a checkpoint of HyCoCLIP: it lacks visual_alpha, curv"),
        (file.name, "out", "say so by --heads"),
        (file.name, "there", "there exists already"),
    ):
        assert main(["backbone", "hycoclip", str(tmp_path / name), str(tmp_path / output)]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert "this ran" not in printed.out
    assert sorted(tmp_path.iterdir()) == before
