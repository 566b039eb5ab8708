import math

import pytest
import torch
from small_models import save, small_model
from text_models import text_model
from transformers import CLIPVisionConfig, CLIPVisionModel

from hf_hyperbolic import HyperbolicCLIPVisionModel
from hf_hyperbolic.export.checkpoint import description, load_checkpoint, notes, public_name


def test_what_is_told_of_a_model(checkpoint):
    encoder = load_checkpoint(checkpoint)
    told = description(encoder)
    assert told["curvature"] == pytest.approx(math.exp(0.3))
    assert told["measures"] == {"children": "combined", "parents": "combined"}
    assert (told["geometry"], told["embeds"], told["similarity_share"]) == ("lorentz", "space components", 2.0)
    assert told["preprocessing"]["context"] == 0.25
    assert (public_name(encoder), notes(encoder)) == ("model", [])


def test_euclidean_and_padded(tmp_path):
    save(small_model(geometry="euclidean"), tmp_path, crop_mode="pad")
    encoder = load_checkpoint(tmp_path)
    assert description(encoder)["curvature"] is None
    assert description(encoder)["measures"]["children"] == "euclidean_beta"
    assert "pad images to a square" in notes(encoder)[0]


def test_of_a_model_with_words_the_image_encoder_is_exported(tmp_path):
    model = text_model()
    model.save_pretrained(tmp_path)
    encoder = load_checkpoint(tmp_path)
    assert type(encoder.model) is HyperbolicCLIPVisionModel
    assert not encoder.model.training
    with torch.no_grad():
        pixels = torch.rand(2, 3, 32, 32)
        assert torch.equal(encoder.model(pixels).embeds, model.get_image_embeds(pixels))


def test_no_such_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=r"^me/nothing: no such folder here, and as a model of the Hub .*$"):
        load_checkpoint("me/nothing")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_checkpoint(tmp_path)


def test_a_model_of_another_kind(tmp_path):
    CLIPVisionModel(
        CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of type 'clip_vision_model', not one of this library"):
        load_checkpoint(tmp_path)


def test_weights_that_are_not_finite(tmp_path):
    model = small_model()
    with torch.no_grad():
        model.projection[0].weight[0, 0] = math.nan
    save(model, tmp_path)
    with pytest.raises(ValueError, match=r"NaN or infinite values \(projection.0.weight\)"):
        load_checkpoint(tmp_path)
