import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextV2Config,
    Dinov2Config,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
)

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, HyperbolicCLIPVisionOutput, lorentz

CLIP = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
BACKBONES = {
    "clip": CLIPVisionConfig(**CLIP),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "convnextv2": ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32),
    "dinov2": Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8),
    "vit": ViTConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    ),
}


def make(backbone: str = "clip", **fields) -> HyperbolicCLIPVisionModel:
    torch.manual_seed(0)
    # through a dictionary, so that no test can change another's backbone configuration
    config = HyperbolicCLIPVisionConfig(backbone_config=BACKBONES[backbone].to_dict(), **fields)
    return HyperbolicCLIPVisionModel(config).eval()


def images(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def assert_documented_initial_values(model: HyperbolicCLIPVisionModel) -> None:
    dim = model.config.projection_dim
    for name, expected in (("curvature", 0.0), ("alpha", math.log(dim**-0.5)), ("temperature", math.log(0.07))):
        value = getattr(model, f"log_{name}")
        assert value.dtype == torch.float32
        assert value.item() == np.float32(expected)
    assert model.curvature.item() == 1.0
    assert model.alpha.item() == pytest.approx(dim**-0.5, rel=1e-6)
    assert model.temperature.item() == pytest.approx(0.07, rel=1e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_embeds_onto_the_hyperboloid(backbone) -> None:
    model = make(backbone, curvature_init=2.0, projection_dim=24)
    with torch.no_grad():
        out = model(pixel_values=images())
    assert isinstance(out, HyperbolicCLIPVisionOutput)
    assert out.embeds.shape == out.tangent.shape == (3, 24)
    assert out.pooler_output.shape == (3, model.config.feature_dim)
    assert len(out.last_hidden_state) == 3
    # the definition, in float64 and numpy
    weight = model.projection[0].weight.detach().double().numpy()
    v = out.pooler_output.double().numpy() @ weight.T * 24**-0.5
    length = math.sqrt(2.0) * np.linalg.norm(v, axis=1, keepdims=True)
    np.testing.assert_allclose(out.tangent, v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(out.embeds, np.sinh(length) / length * v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.radii(out.embeds).detach(), np.linalg.norm(v, axis=1), rtol=1e-4)


def test_clip_pools_the_class_token_after_the_last_norm() -> None:
    model = make()
    torch.testing.assert_close(model(images()).pooler_output, model.backbone(images()).pooler_output)


def test_the_tuple_form_and_the_optional_outputs() -> None:
    model = make()
    model.set_attn_implementation("eager")
    out = model(images(), output_hidden_states=True, output_attentions=True)
    assert (len(out.hidden_states), len(out.attentions)) == (3, 2)
    as_tuple = model(images(), return_dict=False)
    assert torch.equal(as_tuple[0], out.embeds)
    assert len(as_tuple) == 4


def test_new_models_have_the_documented_initial_values() -> None:
    assert_documented_initial_values(make())
    model = make(projection_dim=64)
    assert_documented_initial_values(model)
    assert model.projection[0].weight.std().item() == pytest.approx(32**-0.5, rel=0.1)


def test_a_full_clip_checkpoint_gives_its_vision_tower_and_a_fresh_head(tmp_path) -> None:
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    tokens = {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2}
    full = CLIPModel(CLIPConfig(vision_config=CLIP, text_config=text | tokens)).eval()
    full.save_pretrained(tmp_path)
    expected = full.vision_model(images()).pooler_output
    for load in (HyperbolicCLIPVisionModel.from_backbone_pretrained, HyperbolicCLIPVisionModel.from_pretrained):
        model = load(tmp_path, projection_dim=64)
        assert not model.training
        assert_documented_initial_values(model)
        out = model(images())
        assert torch.equal(out.pooler_output, expected)
        assert out.embeds.isfinite().all()


@pytest.mark.parametrize("prefix", ["", "vision_model.", "backbone."])
@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_bare_weights_beside_our_configuration(prefix, norm, tmp_path) -> None:
    tower = CLIPVisionModel(CLIPVisionConfig(**CLIP)).eval()
    save_file(
        {prefix + name: value.clone() for name, value in tower.state_dict().items()}, tmp_path / "model.safetensors"
    )
    HyperbolicCLIPVisionConfig(CLIPVisionConfig(**CLIP), projection_norm=norm).save_pretrained(tmp_path)
    model, info = HyperbolicCLIPVisionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {"log_curvature", "log_alpha", "log_temperature", "projection.0.weight"} <= set(info["missing_keys"])
    assert not [name for name in info["missing_keys"] if name.startswith("backbone.")]
    assert_documented_initial_values(model)
    assert model.projection[0].weight.std().item() == pytest.approx(32**-0.5, rel=0.1)
    out = model(images())
    assert torch.equal(out.pooler_output, tower(images()).pooler_output)
    # and saving it writes this model's own names, whatever the names it was read under
    model.save_pretrained(tmp_path / "ours")
    assert set(load_file(tmp_path / "ours" / "model.safetensors")) == set(model.state_dict())
    again = HyperbolicCLIPVisionModel.from_pretrained(tmp_path / "ours")
    assert torch.equal(again(images()).embeds, out.embeds)


def test_bare_weights_loaded_with_a_configuration_and_in_bfloat16(tmp_path) -> None:
    CLIPVisionModel(CLIPVisionConfig(**CLIP)).save_pretrained(tmp_path)
    config = HyperbolicCLIPVisionConfig(CLIPVisionConfig(**CLIP), projection_dim=64, projection_norm="batchnorm")
    model = HyperbolicCLIPVisionModel.from_pretrained(tmp_path, config=config, dtype=torch.bfloat16)
    assert model.config.projection_dim == 64
    assert model.dtype == model.projection[0].weight.dtype == torch.bfloat16
    assert model.tangent_norm.running_var.dtype == torch.float32
    assert_documented_initial_values(model)


def test_a_classification_checkpoint_gives_its_backbone(tmp_path) -> None:
    source = ResNetForImageClassification(BACKBONES["resnet"]).eval()
    source.save_pretrained(tmp_path)
    model = HyperbolicCLIPVisionModel.from_pretrained(tmp_path, projection_layers=2)
    assert_documented_initial_values(model)
    expected = source.resnet(images()).pooler_output.flatten(1)
    assert torch.equal(model(images()).pooler_output, expected)


def test_checkpoints_that_cannot_start_a_model_are_refused(tmp_path) -> None:
    make().save_pretrained(tmp_path / "ours")
    with pytest.raises(ValueError, match="load it with from_pretrained"):
        HyperbolicCLIPVisionModel.from_backbone_pretrained(tmp_path / "ours")
    CLIPVisionConfig(**CLIP).save_pretrained(tmp_path)
    save_file({"unrelated": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="give a checkpoint with a vision tower"):
        HyperbolicCLIPVisionModel.from_backbone_pretrained(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        HyperbolicCLIPVisionModel.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"geometry": "euclidean"},
        {"projection_norm": "batchnorm"},
        {"projection_layers": 2},
        {"learn_curvature": False, "curvature_init": 0.5},
    ],
)
def test_save_and_load_is_bit_equal(fields, tmp_path) -> None:
    model = make(**fields)
    with torch.no_grad():
        for value in (model.log_curvature, model.log_alpha, model.log_temperature):
            value.add_(0.25)
    model.train()(images(8))  # moves the running statistics, where there are any
    model.eval().save_pretrained(tmp_path)
    for loaded in (HyperbolicCLIPVisionModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert type(loaded) is HyperbolicCLIPVisionModel
        for name, value in model.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name
        for batch in (1, 3):  # a batch of one takes another path through the matrix products
            assert torch.equal(loaded(images(batch)).embeds, model(images(batch)).embeds)
        assert {n for n, p in loaded.named_parameters() if p.requires_grad} == {n for n, _ in model.named_parameters()}


def test_scalars_stay_within_their_bounds_and_learn_beyond_them() -> None:
    model = make()
    for name, low, high in (("curvature", 0.1, 10.0), ("temperature", 0.01, 1.0)):
        parameter = getattr(model, f"log_{name}")
        for raw, bound, side in ((-50.0, low, "lower"), (50.0, high, "upper")):
            with torch.no_grad():
                parameter.fill_(raw)
            value = getattr(model, name)
            assert value.item() == np.float32(bound)
            assert parameter.item() == raw
            assert model.bounds_hit() == {name: side}
            (gradient,) = torch.autograd.grad(value, parameter)
            assert gradient.item() == pytest.approx(bound, rel=1e-5)
            model.clamp_scalars_()
            assert parameter.item() == pytest.approx(math.log(bound), rel=1e-6)
            assert model.bounds_hit() == {name: side}
        with torch.no_grad():
            parameter.fill_(math.log(0.5))
        assert model.bounds_hit() == {}
        assert getattr(model, name).item() == pytest.approx(0.5, rel=1e-6)
        (gradient,) = torch.autograd.grad(getattr(model, name), parameter)
        assert gradient.item() == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("fields", [{"learn_curvature": False, "curvature_init": 0.1}, {"geometry": "euclidean"}])
def test_a_curvature_that_is_not_learnt_is_no_parameter_and_hits_no_bound(fields) -> None:
    model = make(**fields)
    assert "log_curvature" not in dict(model.named_parameters())
    assert "log_curvature" in model.state_dict()
    assert model.bounds_hit() == {}
    assert model.curvature.item() == np.float32(0.0 if "geometry" in fields else 0.1)


def test_euclidean_embeddings_are_the_tangent_vectors() -> None:
    model = make(geometry="euclidean")
    out = model(images())
    assert torch.equal(out.embeds, out.tangent)
    assert (model.curvature.item(), model.half().curvature.dtype) == (0.0, torch.float32)
    model.float()
    torch.testing.assert_close(model.radii(out.embeds), out.embeds.square().sum(-1).sqrt())


def test_gradients_flow_to_every_parameter() -> None:
    model = make(projection_layers=2).train()
    (model(images()).embeds.square().sum() / model.temperature).backward()
    # the mean over keys makes the gradient of a key bias zero by theory; and CLIP's last layer pools one token
    zero = {n for n, p in model.named_parameters() if p.grad is None or (not p.grad.any() and "k_proj.bias" not in n)}
    assert zero == set()


def test_log_curvature_has_the_gradient_of_the_definition() -> None:
    model = make().double()
    features = torch.randn(4, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def embed(log_curvature: float) -> torch.Tensor:
        with torch.no_grad():
            model.log_curvature.fill_(log_curvature)
        return model.lift(features)[0].sum()

    (gradient,) = torch.autograd.grad(embed(0.3), model.log_curvature)
    difference = (embed(0.3 + 1e-6) - embed(0.3 - 1e-6)) / 2e-6
    assert gradient.item() == pytest.approx(difference.item(), rel=1e-6)


def test_tangent_vectors_are_shortened_to_the_largest_radius() -> None:
    model = make(curvature_init=4.0)
    features = torch.tensor([[1e-3], [1e3], [1e15]]) * torch.ones(3, 128)
    features.requires_grad_()
    embeds, tangent = model.lift(features)
    torch.testing.assert_close(2 * tangent.norm(dim=1), torch.tensor([2e-3, 15.0, 15.0]))
    assert model.lift(torch.full((1, 128), 1e30))[0].isnan().all()  # an overflow shows, rather than as the origin
    torch.testing.assert_close(tangent[1], tangent[2])
    torch.testing.assert_close(model.radii(embeds), tangent.norm(dim=1))
    embeds.sum().backward()
    assert features.grad.isfinite().all()
    # what lies beyond still feels in which direction the origin is
    assert (features.grad[1] > 0).all()


def test_images_without_features_sit_at_the_origin() -> None:
    features = torch.zeros(2, 128, requires_grad=True)
    embeds, _ = make().lift(features)
    assert not embeds.any()
    embeds.sum().backward()
    assert features.grad.isfinite().all()


def test_batch_norm_removes_the_cone() -> None:
    torch.manual_seed(3)
    features = torch.randn(64, 128) + 5  # a cone: all share one direction
    model = make(projection_norm="batchnorm").train()
    unit = torch.nn.functional.normalize(model.lift(features)[1], dim=-1)
    assert torch.nn.functional.cosine_similarity(features[:1], features[1:]).mean() > 0.9
    assert abs((unit @ unit.T)[~torch.eye(64, dtype=bool)].mean()) < 0.05
    assert not list(model.tangent_norm.parameters())
    for _ in range(200):
        model.lift(features)
    alone = model.eval().lift(features[:1])[0]
    torch.testing.assert_close(alone, model.lift(features)[0][:1])


@pytest.mark.parametrize("backbone", ["clip", "resnet"])
@pytest.mark.parametrize("norm", ["none", "batchnorm"])
def test_bfloat16_weights_float32_scalars_and_embeddings(backbone, norm, tmp_path) -> None:
    model = make(backbone, projection_norm=norm)
    with torch.no_grad():
        model.log_curvature.fill_(0.123456789)
    model.save_pretrained(tmp_path)
    half = HyperbolicCLIPVisionModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert half.log_curvature.item() == np.float32(0.123456789)
    assert half.projection[0].weight.dtype == torch.bfloat16
    out = half(images())
    assert out.embeds.dtype == out.tangent.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(out.embeds, model(images()).embeds).min() > 0.99
    for cast in (half.bfloat16(), half.half(), half.float()):
        assert cast(images()).embeds.dtype == cast.curvature.dtype == torch.float32
    assert half.double()(images()).embeds.dtype == torch.float64
    # what is saved in half precision comes back so, with its scalars in float32
    HyperbolicCLIPVisionModel.from_pretrained(tmp_path, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    again = AutoModel.from_pretrained(tmp_path / "half")
    assert (again.dtype, again.log_curvature.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(again(images()).embeds, out.embeds)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_embeddings_are_float32_under_autocast(dtype) -> None:
    model = make(projection_norm="batchnorm").train()
    seen = []
    model.projection.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=dtype):
        out = model(images())
        assert seen == [dtype]  # autocast did run
        assert out.embeds.dtype == out.tangent.dtype == model.curvature.dtype == torch.float32
        # the lift itself ran in float32: the same from the same projection outside autocast
        projected = torch.randn(5, 128)
        model.eval()
        inside = model.lift(projected)[0]
    assert torch.equal(inside, model.lift(projected)[0])


def test_attention_implementations_agree(tmp_path) -> None:
    make().save_pretrained(tmp_path)
    eager, sdpa = (
        HyperbolicCLIPVisionModel.from_pretrained(tmp_path, attn_implementation=name) for name in ("eager", "sdpa")
    )
    assert eager.backbone.config._attn_implementation == "eager"
    assert sdpa.backbone.config._attn_implementation == "sdpa"
    torch.testing.assert_close(eager(images()).embeds, sdpa(images()).embeds, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["clip", "dinov2"])
def test_activation_checkpointing_leaves_gradients_as_they_are(backbone) -> None:
    model = make(backbone).train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
            assert any(getattr(module, "gradient_checkpointing", False) for module in model.backbone.modules())
        model.zero_grad()
        model(images()).embeds.square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_activation_checkpointing_is_refused_where_the_backbone_has_none() -> None:
    with pytest.raises(ValueError, match="not compatible with gradient checkpointing"):
        make("resnet").activation_checkpointing_enable()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["clip", "resnet"])
def test_compiles_to_one_graph_forward_and_backward(backbone) -> None:
    torch._dynamo.reset()
    model = make(backbone).train()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected = model(pixel_values=images()).embeds
    expected.square().sum().backward()
    gradient = model.log_curvature.grad.clone()
    model.zero_grad()
    embeds = compiled(pixel_values=images()).embeds
    torch.testing.assert_close(embeds, expected, rtol=1e-4, atol=1e-5)
    embeds.square().sum().backward()
    torch.testing.assert_close(model.log_curvature.grad, gradient, rtol=1e-3, atol=1e-5)


def test_larger_images_through_interpolated_positions() -> None:
    out = make()(torch.randn(2, 3, 48, 48), interpolate_pos_encoding=True)
    assert out.embeds.shape == (2, 128)
    with pytest.raises(ValueError, match="image size"):
        make()(torch.randn(2, 3, 48, 48))


def test_a_backbone_whose_configuration_misleads_is_named() -> None:
    model = make("resnet")
    model.config.backbone_config.hidden_sizes = [8, 20]
    with pytest.raises(ValueError, match="ResNetModel pools to 16 dimensions, but its configuration tells 20"):
        model(images())


@pytest.mark.parametrize("geometry", ["lorentz", "euclidean"])
def test_class_proxies_are_points_of_the_space_and_are_kept(tmp_path, geometry) -> None:
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    config = HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6, num_proxies=3, geometry=geometry)
    config.id2label = {0: "barn", 1: "window", 2: "pane"}
    model = HyperbolicCLIPVisionModel(config)
    proxies = model.proxy_embeds().clone()
    assert proxies.shape == (3, 6)
    if geometry == "lorentz":
        assert torch.allclose(proxies, lorentz.exp_map0(model.class_proxies, model.curvature), atol=1e-6)
    else:
        assert torch.equal(proxies, model.class_proxies)
    model.half().save_pretrained(tmp_path)
    loaded = HyperbolicCLIPVisionModel.from_pretrained(tmp_path)
    assert loaded.config.id2label[1] == "window"
    assert torch.allclose(loaded.proxy_embeds(), proxies, atol=1e-2)


def test_a_model_without_class_proxies_says_so() -> None:
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=6))
    with pytest.raises(ValueError, match="proxy_weight"):
        model.proxy_embeds()
    with pytest.raises(ValueError, match="num_proxies"):
        HyperbolicCLIPVisionConfig(backbone_config=backbone, num_proxies=-1)
