"""What is taken of a model of this library, and what is not."""

import pytest
import torch
from small_backbones import BACKBONES
from transformers import CLIPTextConfig, CLIPVisionModel

from hf_hyperbolic import HyperbolicCLIPModel, HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import build_backbone, build_model, starts_from_scratch
from hf_hyperbolic.training.continued import is_own, what_is_taken

CLASSES = ("bus", "car", "wheel")


def trained(**head):
    """A model whose every weight is another than one that starts anew would have."""
    torch.manual_seed(1)
    settings = {"projection_dim": 16, "temperature_init": 0.2, "num_proxies": 3, **head}
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(BACKBONES["resnet"], **settings))
    if settings["num_proxies"]:
        model.config.id2label = dict(enumerate(CLASSES))
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.05 * torch.rand_like(tensor) + 0.05)
    return model.eval()


@pytest.fixture
def build(tmp_path):
    def build(model, classes=CLASSES, **settings):
        model.save_pretrained(tmp_path / "start")
        args = TrainArguments(backbone=str(tmp_path / "start"), **{"projection_dim": 16, **settings})
        torch.manual_seed(2)
        found = build_model(args, classes)
        said = what_is_taken(args.backbone, found.config)
        assert said.startswith(f"taken from {args.backbone}: backbone")
        return found, said.removeprefix(f"taken from {args.backbone}: ")

    return build


def taken(found, start) -> set[str]:
    """Names of weights that are those of the start."""
    expected = start.state_dict()
    return {
        name
        for name, value in found.state_dict().items()
        if name in expected and value.shape == expected[name].shape and torch.equal(value, expected[name])
    }


@pytest.mark.parametrize("projection_norm", ["none", "batchnorm"])
def test_where_all_settings_agree_it_is_the_same_model(build, projection_norm):
    start = trained(projection_norm=projection_norm, projection_layers=2, max_radius=12.0)
    found, said = build(start, projection_norm=projection_norm)
    assert taken(found, start) == set(start.state_dict()) == set(found.state_dict())
    assert said == "backbone, projection, curvature, temperature, 3 of 3 class proxies; new: nothing"
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found(pixels).embeds, start(pixels).embeds)
    assert found.config.max_radius == 12.0


@pytest.mark.parametrize(
    ("settings", "new", "said"),
    [
        ({"projection_dim": 8}, ("projection.", "log_alpha", "log_curvature", "class_proxies"),
         "temperature; new: projection, curvature, 3 class proxies (there: --projection_dim 16)"),
        ({"geometry": "euclidean", "loss": "cosine"}, ("projection.", "log_alpha", "log_curvature", "class_proxies"),
         "temperature; new: projection, curvature, 3 class proxies (there: --geometry lorentz)"),
        ({"projection_norm": "batchnorm"},
         ("projection.", "log_alpha", "log_curvature", "class_proxies", "tangent_norm"),
         "temperature; new: projection, curvature, 3 class proxies (there: --projection_norm none)"),
        ({"curvature_init": 2.0}, ("log_curvature",),
         "projection, temperature, 3 of 3 class proxies; new: curvature (there: --curvature_init 1.0)"),
        ({"learn_curvature": False}, ("log_curvature",),
         "projection, temperature, 3 of 3 class proxies; new: curvature (there: --learn_curvature True)"),
        ({"temperature_init": 0.1}, ("log_temperature",),
         "projection, curvature, 3 of 3 class proxies; new: temperature (there: --temperature_init 0.2)"),
        ({"temperature_init": 0.1, "projection_dim": 8},
         ("projection.", "log_alpha", "log_curvature", "class_proxies", "log_temperature"),
         "backbone; new: projection, curvature, temperature, 3 class proxies (there: --projection_dim 16, "
         "--temperature_init 0.2)"),
        ({"proxy_weight": 0.0}, (), "projection, curvature, temperature; new: nothing"),
    ],
)  # fmt: skip
def test_what_does_not_agree_starts_anew(build, settings, new, said):
    start = trained()
    found, told = build(start, **settings)
    assert taken(found, start) == {name for name in found.state_dict() if not name.startswith(new or "-")}
    assert told.removeprefix("backbone, ") == said
    fresh = HyperbolicCLIPVisionModel(found.config)
    for scalar in ("curvature", "temperature"):
        if f"log_{scalar}" in new:
            assert getattr(found, scalar).item() == getattr(fresh, scalar).item()


def test_proxies_are_taken_by_the_names_of_their_classes(build):
    start = trained()
    found, said = build(start, ("wheel", "tree", "bus", "house"))
    proxies, old = found.class_proxies, start.class_proxies
    assert torch.equal(proxies[0], old[2])
    assert torch.equal(proxies[2], old[0])
    assert not any(torch.equal(proxies[new], row) for new in (1, 3) for row in old)
    assert said.endswith("temperature, 2 of 4 class proxies; new: 2 class proxies")
    assert found.config.id2label == {0: "wheel", 1: "tree", 2: "bus", 3: "house"}
    without = trained(num_proxies=0)
    assert build(without)[1].endswith("temperature; new: 3 class proxies")


def test_of_a_model_with_words_the_image_encoder_is_taken(build, tmp_path):
    image_model = trained()
    text = CLIPTextConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
                          max_position_embeddings=4, bos_token_id=1, eos_token_id=2, pad_token_id=0)  # fmt: skip
    both = HyperbolicCLIPModel.from_image_model(image_model, text)
    found, said = build(both)
    assert type(found) is HyperbolicCLIPVisionModel
    assert taken(found, image_model) == set(image_model.state_dict()) == set(found.state_dict())
    assert said.endswith("new: nothing; its text tower is left out")
    with pytest.raises(ValueError, match="HyperbolicCLIPModel already: load it with from_pretrained"):
        HyperbolicCLIPVisionModel.from_backbone_pretrained(tmp_path / "start")


def test_pretraining_takes_the_backbone(tmp_path):
    start = trained()
    start.save_pretrained(tmp_path / "start")
    found = build_backbone(str(tmp_path / "start"))
    assert type(found) is type(start.backbone)
    assert taken(found, start.backbone) == set(start.backbone.state_dict())


def test_a_configuration_of_ours_alone_starts_from_scratch(tmp_path):
    start = trained()
    start.config.save_pretrained(tmp_path)
    assert starts_from_scratch(str(tmp_path))
    found = build_model(TrainArguments(backbone=str(tmp_path)))
    assert type(found.backbone) is type(start.backbone)
    assert found.config.projection_dim == 128


def test_other_checkpoints_are_not_ours(tmp_path):
    CLIPVisionModel(BACKBONES["clip"]).save_pretrained(tmp_path)
    assert not is_own(str(tmp_path))
    assert build_model(TrainArguments(backbone=str(tmp_path))).config.backbone_config.model_type == "clip_vision_model"
