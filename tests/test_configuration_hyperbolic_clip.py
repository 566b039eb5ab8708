import json
import re

import pytest
from transformers import (
    AutoConfig,
    BertConfig,
    CLIPConfig,
    CLIPVisionConfig,
    ConvNextV2Config,
    ResNetConfig,
)

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel


def test_defaults_are_the_documented_ones() -> None:
    config = HyperbolicCLIPVisionConfig()
    assert (config.backbone_config.model_type, config.backbone_config.patch_size) == ("clip_vision_model", 16)
    assert (config.feature_dim, config.projection_dim, config.geometry) == (768, 128, "lorentz")
    assert (config.curvature_init, config.temperature_init, config.initial_alpha) == (1.0, 0.07, 128**-0.5)
    assert (config.curvature_bounds, config.temperature_bounds) == ([0.1, 10.0], [0.01, 1.0])


@pytest.mark.parametrize(
    "backbone",
    [CLIPVisionConfig(hidden_size=24, num_attention_heads=2), ResNetConfig(depths=[1, 1], hidden_sizes=[8, 12])],
)
def test_round_trip_through_a_folder(backbone, tmp_path) -> None:
    config = HyperbolicCLIPVisionConfig(backbone_config=backbone, geometry="euclidean", alpha_init=0.5, max_radius=9.0)
    config.save_pretrained(tmp_path)
    for loaded in (HyperbolicCLIPVisionConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(loaded) is HyperbolicCLIPVisionConfig
        assert type(loaded.backbone_config) is type(backbone)
        assert loaded.feature_dim == config.feature_dim
        written = json.loads((tmp_path / "config.json").read_text())
        assert json.loads(loaded.to_json_string())["backbone_config"] == written["backbone_config"]
        assert (loaded.geometry, loaded.alpha_init, loaded.max_radius) == ("euclidean", 0.5, 9.0)


def test_unknown_keywords_are_kept_for_transformers() -> None:
    assert HyperbolicCLIPVisionConfig(output_hidden_states=True, note="x").note == "x"
    assert HyperbolicCLIPVisionConfig(output_hidden_states=True).output_hidden_states is True


def test_the_vision_half_of_a_two_tower_configuration_is_taken() -> None:
    config = HyperbolicCLIPVisionConfig(backbone_config=CLIPConfig())
    assert config.backbone_config.model_type == "clip_vision_model"
    assert HyperbolicCLIPVisionConfig(backbone_config=CLIPConfig().to_dict()).feature_dim == 768


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"geometry": "poincare"}, "geometry must be one of lorentz, euclidean, got 'poincare'"),
        ({"projection_norm": "layernorm"}, "projection_norm must be one of none, batchnorm"),
        ({"projection_layers": 3}, "projection_layers must be one of 1, 2"),
        ({"projection_dim": 1}, "projection_dim must be an integer of at least 2"),
        ({"projection_dim": 64.0}, "projection_dim must be an integer of at least 2"),
        (
            {"curvature_init": -1.0},
            "curvature_init must lie within curvature_bounds [0.1, 10.0], got -1.0 (c of the space",
        ),
        ({"curvature_init": float("nan")}, "curvature_init must lie within"),
        ({"curvature_bounds": (10, 0.1)}, "curvature_bounds must be two positive values, the lower one first"),
        ({"curvature_bounds": (0.1,)}, "curvature_bounds must be two positive values"),
        ({"temperature_init": 0.001}, "temperature_init must lie within temperature_bounds [0.01, 1.0], got 0.001"),
        ({"alpha_init": 0.0}, "alpha_init must be positive, or None"),
        ({"max_radius": 100.0}, "max_radius must lie in (0, 40]"),
        ({"backbone_config": {"hidden_size": 8}}, "backbone_config has model_type 'None'"),
        ({"backbone_config": "openai/clip-vit-base-patch16"}, "must be a configuration or its dictionary, got str"),
    ],
)
def test_bad_fields_are_refused(fields, message) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        HyperbolicCLIPVisionConfig(**fields)


def test_a_field_broken_after_construction_is_refused_by_the_model() -> None:
    config = HyperbolicCLIPVisionConfig(ResNetConfig(depths=[1], hidden_sizes=[8]))
    config.geometry = "sphere"
    with pytest.raises(ValueError, match="geometry must be one of"):
        HyperbolicCLIPVisionModel(config)


def test_a_text_backbone_is_refused() -> None:
    small = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=32)
    with pytest.raises(ValueError, match="BertModel, which takes no images"):
        HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(small))


def test_feature_dim_of_a_backbone_that_does_not_tell_it() -> None:
    backbone = ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 1])
    config = HyperbolicCLIPVisionConfig(backbone)
    assert config.feature_dim == 16
    backbone.hidden_sizes = []
    with pytest.raises(ValueError, match="neither hidden_sizes nor hidden_size"):
        _ = config.feature_dim
