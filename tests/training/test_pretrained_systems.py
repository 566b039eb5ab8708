"""Systems of checkpoints that no run left: what they embed, how large they look, and what is refused."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
)

from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.encoder import ImageEncoder
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.sources import Split
from hf_hyperbolic.training.systems import System, pretrained, told_apart
from hf_hyperbolic.training.text_arguments import TextArguments

VIT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 20}


@pytest.fixture
def split(tmp_path):
    """One image of the model's own size, so that nothing is resized."""
    pixels = np.random.default_rng(0).integers(0, 255, size=(32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    table = BoxTable(
        image_ids=np.array(["0"]),
        image_files=np.array([str(tmp_path / "0.png")]),
        image_sizes=np.array([[32, 32]], dtype=np.int32),
        box_image=np.array([0], dtype=np.int32),
        boxes=np.array([[4, 4, 20, 28]], dtype=np.float32),
        labels=np.array([0], dtype=np.int32),
        class_names=("thing",),
    )
    return Split(table, build_hierarchy(table))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The layout of openai/clip-vit-base-patch16, whose projection_dim stands with the whole."""
    folder = tmp_path_factory.mktemp("hub") / "clip-tiny"
    torch.manual_seed(0)
    config = CLIPConfig(
        vision_config=VIT, text_config={**TEXT, "bos_token_id": 1, "eos_token_id": 2}, projection_dim=24
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_plain_clip_gives_its_projected_image_features(clip, split):
    system = pretrained(str(clip))
    assert (system.name, system.curvature, system.args.image_size) == ("plain clip-tiny", 0, 32)
    assert set(system.measures.values()) == {"cosine"}
    found = system.embed(split, progress=False)
    assert found.shape == (2, 24)
    model = CLIPModel.from_pretrained(clip).eval()
    inputs = CLIPImageProcessorPil.from_pretrained(clip)(Image.open(split.table.image_files[0]), return_tensors="pt")
    with torch.no_grad():
        features = model.get_image_features(**inputs)
    features = getattr(features, "pooler_output", features)
    np.testing.assert_allclose(found[0], features[0].numpy(), atol=1e-5)
    box = system.embed(split, np.array([1]), progress=False)
    np.testing.assert_allclose(box[0], found[1], atol=1e-6)
    assert system.settings()["checkpoint"] == str(clip)
    assert "learning_rate" not in system.settings(), "of a model of unknown training"


@pytest.mark.parametrize(
    ("model", "dim"),
    [
        (lambda: CLIPVisionModel(CLIPVisionConfig(**VIT)), 32),
        (lambda: Dinov2Model(Dinov2Config(**VIT)), 32),
        (
            lambda: ResNetModel(
                ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
            ),
            16,
        ),
    ],
)
def test_other_vision_models_give_their_pooled_feature(model, dim, split, tmp_path):
    torch.manual_seed(0)
    backbone = model().eval()
    backbone.save_pretrained(tmp_path / "net")
    make_image_processor(32).save_pretrained(tmp_path / "net")
    system = pretrained(str(tmp_path / "net"))
    found = system.embed(split, progress=False)
    assert found.shape == (2, dim)
    pixels = make_image_processor(32)(Image.open(split.table.image_files[0]), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        outputs = backbone(pixels)
    np.testing.assert_allclose(found[0], outputs.pooler_output.flatten(1)[0].numpy(), atol=1e-4)


def save_ours(folder, **head):
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=8, **head))
    model.save_pretrained(folder)
    make_image_processor(48).save_pretrained(folder)
    return model.eval()


def test_a_checkpoint_of_ours_needs_no_run(split, tmp_path):
    model = save_ours(tmp_path / "mine", curvature_init=2.0)
    system = pretrained(str(tmp_path / "mine"), context=0.1)
    assert (system.name, system.known) == ("hyperbolic model mine", False)
    assert system.curvature == pytest.approx(2.0)
    assert (system.args.image_size, system.args.context) == (48, 0.1)
    assert system.measures == {"children": "beta", "parents": "beta", "pairs": "beta"}
    pixels = make_image_processor(48)(Image.open(split.table.image_files[0]), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        np.testing.assert_allclose(
            system.embed(split, np.array([0]), progress=False), model(pixels).embeds.numpy(), atol=1e-4
        )
    save_ours(tmp_path / "flat", geometry="euclidean")
    flat = pretrained(str(tmp_path / "flat"))
    assert (flat.curvature, flat.measures["parents"]) == (0, "euclidean_beta")


def test_settings_beside_a_checkpoint_are_those_it_was_trained_with(tmp_path):
    save_ours(tmp_path / "mine")
    TrainArguments(loss="cosine", image_size=40, context=0.5, data="/sets/mine").save(tmp_path / "mine")
    system = pretrained(str(tmp_path / "mine"))
    assert system.known
    assert (system.args.image_size, system.args.context, system.args.data) == (40, 0.5, "/sets/mine")
    assert system.measures["children"] == "cosine"
    assert system.settings()["learning_rate"] == system.args.learning_rate


def looks(system):
    return (
        system.args.image_size, system.args.context, system.args.crop_mode, list(system.processor.image_mean),
        list(system.processor.image_std), system.measures["children"], system.measures["parents"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "processor", "known"),
    [
        (None, True, False),
        (None, False, False),
        ({"image_size": 40, "context": 0.5, "crop_mode": "pad", "parents_measure": "distance"}, True, True),
        ({"image_size": 40, "loss": "cosine", "a_later_setting": 3}, True, True),
        ({"image_size": 40, "context": 0.2, "loss": "a_later_loss"}, False, False),
    ],
)
def test_a_system_looks_and_ranks_as_the_encoder_of_its_checkpoint(settings, processor, known, split, tmp_path):
    save_ours(tmp_path)
    if not processor:
        (tmp_path / "preprocessor_config.json").unlink()
    if settings is not None:
        (tmp_path / "arguments.json").write_text(json.dumps(settings))
    encoder, system = ImageEncoder.from_pretrained(tmp_path, "cpu"), pretrained(str(tmp_path))
    assert looks(system) == (
        encoder.image_size, encoder.context, encoder.crop_mode, encoder.mean, encoder.std, encoder.measures["children"],
        encoder.measures["parents"],
    )  # fmt: skip
    assert system.known == known
    image = Image.open(split.table.image_files[0])
    box = split.table.boxes[0]
    expected = encoder.encode([image, image], [None, box])
    np.testing.assert_allclose(system.embed(split, progress=False), expected, atol=1e-6)


def test_two_checkpoints_of_one_name_are_told_apart(tmp_path):
    for place in ("a", "b"):
        save_ours(tmp_path / place / "model")
    systems = [pretrained(str(tmp_path / place / "model")) for place in ("a", "b")]
    assert len({system.name for system in told_apart(systems)}) == 2
    with pytest.raises(ValueError, match="cannot be told apart"):
        told_apart([systems[0], systems[0]])


def test_what_is_no_vision_checkpoint_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    BertModel(BertConfig(**TEXT, max_position_embeddings=8)).save_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="takes no images"):
        pretrained(str(tmp_path / "b"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        pretrained(str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="neither a checkpoint"):
        pretrained(str(tmp_path))
    (tmp_path / "run" / "best").mkdir(parents=True)
    (tmp_path / "run" / "best" / "model.safetensors").touch()
    with pytest.raises(ValueError, match="give it as --run"):
        pretrained(str(tmp_path / "run"))
    save_ours(tmp_path / "weightless")
    (tmp_path / "weightless" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="holds no weights that can be loaded"):
        pretrained(str(tmp_path / "weightless"))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(ValueError, match="no-such-model"):
        pretrained(str(tmp_path / "odd"))


def test_the_best_of_a_run_is_known_with_words_added_too(tmp_path):
    def system(folder, told=None):
        folder.mkdir(parents=True, exist_ok=True)
        if told:
            (folder / TextArguments.FILE).write_text(json.dumps(asdict(TextArguments(**told))))
        return System("ours", None, None, TrainArguments(), {}, folder=folder)

    assert system(tmp_path / "best").chosen
    assert not system(tmp_path / "final").chosen
    assert not System("ours", None, None, TrainArguments(), {}).chosen
    assert system(tmp_path / "one", {"run": "outputs/demo"}).chosen
    assert not system(tmp_path / "two", {"run": "outputs/demo", "which": "final"}).chosen
    assert not system(tmp_path / "three", {"run": "outputs/demo/final"}).chosen
