import itertools
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    ResNetConfig,
    ViTConfig,
    ViTModel,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
from hf_hyperbolic.encoder import ImageEncoder, ranking_measures
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.measures import ranking_measures as ranking_measures_of_run


def photograph(size=(40, 30), seed=0):
    """Smooth, so that two ways of scaling it agree."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(
        HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6, curvature_init=0.7)
    )
    model.save_pretrained(tmp_path / "model")
    make_image_processor(24).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_whole_images_are_seen_as_by_the_processor(checkpoint):
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu")
    images = [photograph(seed=seed) for seed in range(5)]
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    model = HyperbolicCLIPVisionModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        expected = model(**processor(images, return_tensors="pt")).embeds.numpy()
    found = encoder.encode(images, batch_size=2)
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    assert found.dtype == np.float32
    assert (encoder.dim, encoder.image_size) == (6, 24)
    assert encoder.curvature == pytest.approx(0.7)
    assert encoder.measures == {"children": "beta", "parents": "beta"}
    assert encoder.encode([]).shape == (0, 6)


def test_boxes_are_cut_with_the_context_of_the_run(checkpoint):
    (checkpoint / "arguments.json").write_text(
        json.dumps({"image_size": 24, "context": 0.5, "crop_mode": "resize", "parents_measure": "distance"})
    )
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu")
    assert encoder.measures == {"children": "beta", "parents": "distance"}
    image = photograph((100, 100))
    np.testing.assert_allclose(
        encoder.encode([image], [(40, 40, 60, 60)]), encoder.encode([image.crop((30, 30, 70, 70))]), atol=1e-6
    )
    with pytest.raises(ValueError, match="boxes: 1 for 2 images"):
        encoder.encode([image, image], [None])
    with pytest.raises(ValueError, match="lies outside the image"):
        encoder.encode([image], [(400, 400, 500, 500)])


def test_images_of_every_mode_are_seen_as_shown(checkpoint, tmp_path):
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu")
    image = photograph()
    expected = encoder.encode([image])
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        assert opened.size == (30, 40)
        np.testing.assert_allclose(encoder.encode([opened]), expected, atol=1e-6)
    np.testing.assert_allclose(encoder.encode([image.convert("RGBA")]), expected, atol=1e-6)
    assert encoder.encode([image.convert("L"), image.convert("P")]).shape == (2, 6)


def test_fingerprint(checkpoint, tmp_path):
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu")
    first = encoder.fingerprint
    # loaded again, from elsewhere, and saved again
    shutil.copytree(checkpoint, tmp_path / "copied")
    encoder.model.save_pretrained(tmp_path / "saved")
    make_image_processor(24).save_pretrained(tmp_path / "saved")
    for folder in (checkpoint, tmp_path / "copied", tmp_path / "saved"):
        assert ImageEncoder.from_pretrained(folder, "cpu").fingerprint == first
    others = [ImageEncoder.from_pretrained(checkpoint, "cpu", dtype=torch.bfloat16)]
    for settings in ({"context": 0.1}, {"image_size": 32}, {"crop_mode": "pad"}):
        (checkpoint / "arguments.json").write_text(json.dumps(settings))
        others.append(ImageEncoder.from_pretrained(checkpoint, "cpu"))
    (checkpoint / "arguments.json").unlink()
    for name in ("log_curvature", "projection.0.weight"):
        changed = ImageEncoder.from_pretrained(checkpoint, "cpu")
        with torch.no_grad():
            changed.model.get_parameter(name).view(-1)[0] += 1e-3
        others.append(changed)
    fingerprints = {first, *(other.fingerprint for other in others)}
    assert len(fingerprints) == 1 + len(others)


@pytest.mark.parametrize(
    ("settings", "geometry", "measure"),
    [
        ({}, None, "cosine"),
        ({}, "lorentz", "beta"),
        ({"similarity_weight": 2.0}, "lorentz", "combined"),
        ({"loss": "angle", "similarity_weight": 2.0}, "lorentz", "combined"),
        ({"loss": "angle", "similarity_weight": 2.0}, "euclidean", "euclidean_combined"),
        ({"loss": "angle", "similarity_weight": 0.0}, "lorentz", "beta"),
        ({"loss": "angle", "similarity_weight": 0.0}, "euclidean", "euclidean_beta"),
        ({"loss": "single_positive", "similarity_weight": 2.0}, "lorentz", "beta"),
        ({"loss": "cosine", "similarity_weight": 2.0}, "lorentz", "cosine"),
        ({"loss": "hcl", "similarity_weight": 2.0}, "lorentz", "distance"),
    ],
)
def test_what_ranks_where_the_run_names_nothing(settings, geometry, measure):
    assert ranking_measures(settings, geometry) == {"children": measure, "parents": measure}


def test_measures_are_those_of_the_run():
    named = (None, "cosine", "distance")
    for loss, geometry, children, parents in itertools.product(
        ("angle", "cosine"), ("lorentz", "euclidean"), named, named
    ):
        if geometry == "euclidean" and "distance" in (children, parents):
            continue
        run = TrainArguments(loss=loss, geometry=geometry, children_measure=children, parents_measure=parents)
        expected = ranking_measures_of_run(run)
        assert ranking_measures(vars(run), geometry) == {key: expected[key] for key in ("children", "parents")}


def test_a_plain_clip_checkpoint_ranks_by_cosine(tmp_path):
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=24, patch_size=8,
        projection_dim=10,
    )  # fmt: skip
    text = CLIPTextConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, projection_dim=10
    )
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=10)
              ).save_pretrained(tmp_path)  # fmt: skip
    make_image_processor(24).save_pretrained(tmp_path)
    encoder = ImageEncoder.from_pretrained(tmp_path, "cpu")
    assert (encoder.curvature, encoder.dim) == (None, 10)
    assert encoder.measures == {"children": "cosine", "parents": "cosine"}
    pixels = AutoImageProcessor.from_pretrained(tmp_path)([photograph()], return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = CLIPVisionModelWithProjection.from_pretrained(tmp_path)(pixels).image_embeds.numpy()
    np.testing.assert_allclose(encoder.encode([photograph()]), expected, atol=5e-3 * np.abs(expected).max())


def test_another_vision_model_gives_its_pooled_feature(tmp_path):
    config = ViTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=24, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path)
    make_image_processor(24).save_pretrained(tmp_path)
    encoder = ImageEncoder.from_pretrained(tmp_path, "cpu")
    assert (encoder.dim, encoder.curvature, encoder.measures["parents"]) == (16, None, "cosine")


def test_without_an_image_processor_channel_means_are_clips(tmp_path):
    config = ViTConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=24, patch_size=8
    )
    ViTModel(config).save_pretrained(tmp_path)
    encoder = ImageEncoder.from_pretrained(tmp_path, "cpu")
    assert (encoder.image_size, encoder.mean, encoder.std) == (24, list(OPENAI_CLIP_MEAN), list(OPENAI_CLIP_STD))


def test_what_is_no_checkpoint(tmp_path, checkpoint):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ImageEncoder.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"^me/nothing: no such folder here, and as a model of the Hub .*$"):
        ImageEncoder.from_pretrained("me/nothing", local_files_only=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no model \(config\.json\)"):
        ImageEncoder.from_pretrained(tmp_path / "empty")
    with pytest.raises(ValueError, match="device cuda:97: not to be had here"):
        ImageEncoder.from_pretrained(checkpoint, "cuda:97")
    with pytest.raises(TypeError, match="takes no trust"):
        ImageEncoder.from_pretrained(checkpoint, trust=True)
    (checkpoint / "arguments.json").write_text("{")
    with pytest.raises(ValueError, match=r"arguments\.json is not JSON"):
        ImageEncoder.from_pretrained(checkpoint)


def test_weights_that_are_cut_short_are_named(checkpoint):
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{checkpoint}: its weights are no whole safetensors file"):
        ImageEncoder.from_pretrained(checkpoint)


def test_settings_that_change_no_embedding_leave_the_fingerprint(checkpoint):
    encoder = ImageEncoder.from_pretrained(checkpoint, "cpu")
    before = encoder.fingerprint
    config = json.loads((checkpoint / "config.json").read_text())
    config |= {"output_hidden_states": True, "temperature_init": 0.5, "learn_curvature": False, "new_in_a_later": None}
    (checkpoint / "config.json").write_text(json.dumps(config))
    assert ImageEncoder.from_pretrained(checkpoint, "cpu").fingerprint != before  # a setting nobody knows may matter
    del config["new_in_a_later"]
    (checkpoint / "config.json").write_text(json.dumps(config))
    assert ImageEncoder.from_pretrained(checkpoint, "cpu").fingerprint == before
    config["max_radius"] = 3.0
    (checkpoint / "config.json").write_text(json.dumps(config))
    assert ImageEncoder.from_pretrained(checkpoint, "cpu").fingerprint != before


def test_pickled_weights_are_not_loaded(checkpoint):
    model = ImageEncoder.from_pretrained(checkpoint, "cpu").model
    (checkpoint / "model.safetensors").unlink()
    torch.save(model.state_dict(), checkpoint / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        ImageEncoder.from_pretrained(checkpoint, "cpu")
