import math

import pytest
import torch
from text_models import image_model, text_config, text_model, tokenizer
from transformers import AutoConfig, AutoModel, BertConfig, CLIPConfig, CLIPModel

from hf_hyperbolic import HyperbolicCLIPConfig, HyperbolicCLIPModel, HyperbolicCLIPVisionModel, ImageEncoder, lorentz
from hf_hyperbolic.modeling_hyperbolic_clip_text import TEXT_WEIGHTS, load_text_backbone
from hf_hyperbolic.phrases import tokenize


def pixels(count=2):
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def tokens(*phrases):
    return tokenize(tokenizer(), phrases or ("a wheel", "street lamp"))


@torch.no_grad()
def test_of_images_it_is_the_image_encoder_to_the_last_bit():
    alone, both = image_model(), text_model()
    expected = alone(pixels())
    found = both(pixels())
    assert torch.equal(found.embeds, expected.embeds)
    assert torch.equal(both.get_image_embeds(pixels()), expected.embeds)
    assert torch.equal(found.tangent, expected.tangent)
    assert found.text_embeds is None
    names = {name for name in both.state_dict() if not name.startswith(TEXT_WEIGHTS)}
    assert names == set(alone.state_dict())


@torch.no_grad()
@pytest.mark.parametrize("curvature", [0.2, 4.0])
def test_text_is_lifted_into_the_same_space(curvature):
    model = text_model()
    model.log_curvature.fill_(math.log(curvature))
    model.log_text_alpha.fill_(-1.0)
    given = tokens()
    found = model(**given)
    assert found.embeds is None
    # written out: CLIP's pooled feature is that of the end token, projected, scaled and lifted
    hidden = model.text_backbone(**given).last_hidden_state
    ends = (given["input_ids"] == tokenizer().eos_token_id).int().argmax(1)
    features = hidden[torch.arange(2), ends]
    tangent = math.exp(-1) * features @ model.text_projection[0].weight.T
    radius = curvature**0.5 * tangent.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found.text_embeds, radius.sinh() / radius * tangent, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.radii(found.text_embeds), tangent.norm(dim=1), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.get_text_embeds(**given), found.text_embeds)
    # a distance between the towers is one of the one space
    image = model.get_image_embeds(pixels())
    assert lorentz.distance(image, found.text_embeds, model.curvature).isfinite().all()


@torch.no_grad()
def test_what_fills_up_a_phrase_changes_nothing():
    model = text_model()
    alone, beside = tokens("a wheel"), tokens("a wheel", "a picture the street lamp car a".replace("picture ", ""))
    assert alone["input_ids"].shape[1] < beside["input_ids"].shape[1]
    torch.testing.assert_close(model.get_text_embeds(**alone)[0], model.get_text_embeds(**beside)[0])


def test_a_new_text_tower_starts_as_its_configuration_says():
    model = text_model()
    assert model.text_alpha.item() == pytest.approx(16**-0.5)
    with torch.no_grad():
        radii = model.radii(model.get_text_embeds(**tokens()))
    assert ((radii > 0.3) & (radii < 3)).all()
    assert model.text_projection[0].weight.std().item() == pytest.approx(24**-0.5, rel=0.2)
    given = HyperbolicCLIPModel.from_image_model(image_model(), text_config(), text_alpha_init=0.5)
    assert given.text_alpha.item() == pytest.approx(0.5)
    whole = HyperbolicCLIPModel(model.config)
    assert whole.text_alpha.item() == pytest.approx(16**-0.5)
    assert whole.alpha.item() == pytest.approx(16**-0.5)


def test_only_the_text_tower_learns_from_text():
    model = text_model()
    model.get_text_embeds(**tokens()).sum().backward()
    learnt = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learnt >= {"log_text_alpha", "text_projection.0.weight"}
    assert {name for name in learnt if not name.startswith(TEXT_WEIGHTS)} == {"log_curvature"}
    assert set(model.text_parameters()) >= learnt - {"log_curvature"}


@pytest.mark.parametrize("fields", [{}, {"projection_norm": "batchnorm"}, {"geometry": "euclidean"}])
def test_it_is_saved_and_loaded(fields, tmp_path):
    model = text_model(**fields)
    if fields.get("projection_norm"):
        model.train()
        model.get_text_embeds(**tokens())
        model.eval()
        assert not torch.equal(model.text_tangent_norm.running_mean, model.tangent_norm.running_mean)
    model.save_pretrained(tmp_path)
    assert not [*tmp_path.glob("*.bin"), *tmp_path.glob("*.pt")]
    for loaded in (AutoModel.from_pretrained(tmp_path), HyperbolicCLIPModel.from_pretrained(tmp_path)):
        assert type(loaded) is HyperbolicCLIPModel
        with torch.no_grad():
            assert torch.equal(loaded.get_text_embeds(**tokens()), model.get_text_embeds(**tokens()))
            assert torch.equal(loaded.get_image_embeds(pixels()), model.get_image_embeds(pixels()))
    half = AutoModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert (half.log_text_alpha.dtype, half.text_projection[0].weight.dtype) == (torch.float32, torch.bfloat16)
    assert half.get_text_embeds(**tokens()).dtype == torch.float32


def test_the_image_encoder_alone_comes_out_of_it(tmp_path):
    model = text_model()
    model.save_pretrained(tmp_path)
    alone = HyperbolicCLIPVisionModel.from_pretrained(tmp_path)
    assert type(alone) is HyperbolicCLIPVisionModel
    assert {**alone.config.to_diff_dict(), "dtype": None} == {**image_model().config.to_diff_dict(), "dtype": None}
    with torch.no_grad():
        assert torch.equal(alone(pixels()).embeds, model.get_image_embeds(pixels()))
    alone.save_pretrained(tmp_path / "alone")
    assert AutoConfig.from_pretrained(tmp_path / "alone").model_type == "hyperbolic_clip_vision"


def test_a_checkpoint_without_text_is_named(tmp_path):
    image_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"holds no HyperbolicCLIPModel.*add_text\.py"):
        HyperbolicCLIPModel.from_pretrained(tmp_path)


def test_an_index_of_the_image_encoder_is_one_of_the_model_with_words():
    def encoder(model):
        return ImageEncoder(model, "here", 32, [0.5] * 3, [0.5] * 3)

    assert encoder(text_model()).fingerprint == encoder(image_model()).fingerprint
    changed = text_model()
    with torch.no_grad():
        changed.log_text_alpha.add_(1)
        assert encoder(changed).fingerprint == encoder(image_model()).fingerprint
        changed.log_alpha.add_(1)
    assert encoder(changed).fingerprint != encoder(image_model()).fingerprint


def test_published_clip_weights_load(tmp_path):
    torch.manual_seed(1)
    vision = image_model().config.backbone_config
    clip = CLIPModel(CLIPConfig(text_config=text_config().to_dict(), vision_config=vision.to_dict())).eval()
    clip.save_pretrained(tmp_path)
    text = load_text_backbone(tmp_path)
    model = HyperbolicCLIPModel.from_image_model(image_model(), text)
    with torch.no_grad():
        expected = clip.text_model(**tokens()).pooler_output
        torch.testing.assert_close(model.text_backbone(**tokens()).pooler_output, expected)
    model.save_pretrained(tmp_path / "ours")
    again = AutoModel.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(again.get_text_embeds(**tokens()), model.get_text_embeds(**tokens()))
    image_model().backbone.save_pretrained(tmp_path / "vit")
    with pytest.raises(ValueError, match="no text encoder"):
        load_text_backbone(tmp_path / "vit")


def test_another_text_encoder_is_averaged_over_its_tokens():
    bert = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    model = HyperbolicCLIPModel.from_image_model(image_model(), bert)
    model.text_backbone.pooler = None
    given = tokens()
    with torch.no_grad():
        hidden = model.text_backbone(**given).last_hidden_state
        found = model.get_text_embeds(**given)
        first = hidden[0][given["attention_mask"][0].bool()].mean(0)
        tangent = model.text_alpha * model.text_projection(first)
    torch.testing.assert_close(found[0], lorentz.exp_map0(tangent, model.curvature))


def test_what_makes_no_sense_is_refused():
    model = text_model()
    with pytest.raises(ValueError, match="nothing to embed"):
        model()
    for text, message in (
        ({"model_type": "nothing"}, "text_config has model_type 'nothing'"),
        (3, "text_config must be a configuration"),
    ):
        with pytest.raises(ValueError, match=message):
            HyperbolicCLIPConfig(text)
    with pytest.raises(ValueError, match="text_alpha_init must be positive"):
        HyperbolicCLIPConfig(text_alpha_init=0.0)
    with pytest.raises(ValueError, match="takes no text"):
        HyperbolicCLIPModel.from_image_model(image_model(), image_model().config.backbone_config)
    assert HyperbolicCLIPConfig(CLIPConfig()).text_config.model_type == "clip_text_model"
