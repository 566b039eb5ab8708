"""Real pipelines around tiny random models, and stubs for what their answers may hold."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    OwlViTConfig,
    OwlViTForObjectDetection,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    SamConfig,
    SamModel,
    SwinConfig,
    YolosConfig,
    YolosForObjectDetection,
    pipeline,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.detect import detect_boxes
from hf_hyperbolic.data.detectors import check_classes, look, name_of, task_of

TINY = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
CLASSES = {0: "car", 1: "wheel", 2: "dog"}


def yolos():
    config = YolosConfig(
        **TINY, image_size=[32, 32], patch_size=8, num_detection_tokens=6, use_mid_position_embeddings=False
    )
    config.id2label = CLASSES
    processor = YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return pipeline("object-detection", model=YolosForObjectDetection(config).eval(), image_processor=processor)


def rt_detr():
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 8, 8],
        encoder_layers=1,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        num_queries=6,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_denoising=0,
        id2label=CLASSES,
    )
    processor = RTDetrImageProcessorPil(size={"height": 64, "width": 64})
    return pipeline("object-detection", model=RTDetrForObjectDetection(config).eval(), image_processor=processor)


def owlvit():
    letters = "abcdefghijklmnopqrstuvwxyz."
    tokens = [*letters, *[f"{letter}</w>" for letter in letters], "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[])
    ends = {"bos_token_id": len(tokens) - 2, "eos_token_id": len(tokens) - 1, "pad_token_id": 0}
    config = OwlViTConfig(
        text_config={**TINY, **ends, "vocab_size": len(tokens), "max_position_embeddings": 16},
        vision_config={**TINY, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    square = {"height": 32, "width": 32}
    processor = OwlViTImageProcessorPil(size=square, crop_size=square)
    return pipeline(
        "zero-shot-object-detection",
        model=OwlViTForObjectDetection(config).eval(),
        tokenizer=tokenizer,
        image_processor=processor,
    )


def grounding_dino():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "car", "wheel", "?"]
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=32,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config={**TINY, "model_type": "bert", "vocab_size": len(words), "max_position_embeddings": 32},
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=5,
        max_text_len=16,
    )
    return pipeline(
        "zero-shot-object-detection",
        model=GroundingDinoForObjectDetection(config).eval(),
        tokenizer=BertTokenizer(vocab={word: number for number, word in enumerate(words)}),
        image_processor=GroundingDinoImageProcessorPil(size={"shortest_edge": 128, "longest_edge": 192}),
    )


class SamProcessorWithoutTorchvision(SamImageProcessorPil):
    """The last step, which needs torchvision, without its suppression of duplicates; all else is the real pipeline."""

    def post_process_for_mask_generation(self, all_masks, all_scores, all_boxes, crops_nms_thresh):
        masks = []
        for mask in all_masks:
            height, width = mask["size"]
            flat, value = [], False
            for count in mask["counts"]:
                flat += [value] * count
                value = not value
            masks.append(np.array(flat).reshape(width, height).T)
        return masks, all_scores, all_masks, all_boxes


def sam():
    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 16,
            "window_size": 2,
            "global_attn_indexes": [0],
            "num_pos_feats": 4,
        },
        prompt_encoder_config={
            "hidden_size": 8,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
            "num_point_embeddings": 4,
        },
        mask_decoder_config={
            "hidden_size": 8,
            "mlp_dim": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 8,
        },
    )
    processor = SamProcessorWithoutTorchvision(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    # random masks are neither sure nor stable
    return pipeline(
        "mask-generation",
        model=SamModel(config).eval(),
        image_processor=processor,
        stability_score_thresh=-1,
        points_per_crop=4,
    )


MAKERS = {maker.__name__: maker for maker in (yolos, rt_detr, owlvit, grounding_dino, sam)}


@pytest.fixture(scope="module")
def detector(request):
    torch.manual_seed(0)
    return MAKERS[request.param]()


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)) for size in [(50, 70), (60, 40)]]


@pytest.mark.parametrize("detector", MAKERS, indirect=True)
def test_each_kind_of_pipeline_end_to_end(detector, pictures, tmp_path):
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    zero_shot = detector.task == "zero-shot-object-detection"
    options = {"score_threshold": 0.0, "min_crop": 8, "min_size": 1, "nms_iou": 0.95, "max_boxes": 3, "progress": False}
    classes = ["car", "wheel"] if zero_shot else None
    files = []
    for name in ("once", "again"):
        done = detect_boxes(tmp_path, detector, tmp_path / f"{name}.json", classes=classes, **options)
        files.append(done.output.read_bytes())
    assert files[0] == files[1]
    assert done.num_boxes > 0
    table = read_coco(done.output, min_size=0.5)
    assert table.num_boxes == done.num_boxes
    known = {"mask-generation": {"region"}, "object-detection": set(CLASSES.values())}
    assert set(table.class_names) <= known.get(detector.task, {"car", "wheel"})


@pytest.mark.parametrize("detector", ["yolos", "owlvit", "grounding_dino"], indirect=True)
def test_the_answers_are_the_pipelines_own(detector, pictures):
    zero_shot = detector.task == "zero-shot-object-detection"
    end = "." if detector.model.config.model_type == "grounding-dino" else ""
    wanted = [["car", "wheel"], ["car"]] if zero_shot else [None, ["wheel"]]
    found = look(detector, pictures, wanted, 0.0, 1)
    for picture, names, seen in zip(pictures, wanted, found, strict=True):
        prompts = {"candidate_labels": [f"{name}{end}" for name in names]} if zero_shot else {}
        own = detector(picture, threshold=0.0, **prompts)
        own = [one for one in own if names is None or one["label"].removesuffix(".") in names]
        assert len(seen.boxes) == len(own)
        for box, score, label, one in zip(seen.boxes, seen.scores, seen.labels, own, strict=True):
            assert tuple(box) == tuple(one["box"][corner] for corner in ("xmin", "ymin", "xmax", "ymax"))
            assert score == pytest.approx(one["score"], abs=1e-6)
            assert f"{label}{end}" == one["label"]


@pytest.mark.parametrize("detector", ["rt_detr", "owlvit"], indirect=True)
def test_a_batch_of_unequal_pictures(detector, pictures):
    wanted = [["car", "dog"], ["car"]] if detector.task == "zero-shot-object-detection" else [None, None]
    alone = look(detector, pictures, wanted, 0.0, 1)
    together = look(detector, pictures, wanted, 0.0, 2)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1)


@pytest.mark.parametrize("detector", ["yolos"], indirect=True)
def test_a_detector_that_keeps_shapes_says_that_it_cannot_batch(detector, pictures):
    with pytest.raises(ValueError, match=r"Yolos.* keeps the shape of its pictures.*batch_size=1"):
        look(detector, pictures, [None, None], 0.0, 2)


@pytest.mark.parametrize("detector", ["yolos"], indirect=True)
def test_classes_a_detector_does_not_know(detector):
    check_classes(detector, ["car", "dog"])
    with pytest.raises(ValueError, match="does not know 'cat'; it knows 3 classes: car, wheel, dog"):
        check_classes(detector, ["car", "cat"])


def test_a_pipeline_of_another_task():
    class Classifier:
        task = "image-classification"

        def __call__(self, image):
            return []

    expected = "task object-detection, zero-shot-object-detection, mask-generation; got "
    with pytest.raises(ValueError, match=f"{expected}a pipeline of task 'image-classification'"):
        task_of(Classifier())
    with pytest.raises(ValueError, match=f"{expected}a str"):
        task_of("facebook/sam-vit-base")
    with pytest.raises(ValueError, match=f"{expected}a pipeline of task 'image-classification'"):
        detect_boxes(".", Classifier(), "boxes.json")


class Stub:
    def __init__(self, task, answer):
        self.task, self.answer = task, answer

    def __call__(self, *args, **kwargs):
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [{}, [], [[1]], [[{"score": 1}]], [[{"score": 1, "label": "a", "box": [1, 2, 3, 4]}]], [[{"score": "x"}]]],
)
def test_answers_of_another_form(answer, pictures):
    with pytest.raises(ValueError, match="Stub must answer"):
        look(Stub("object-detection", answer), pictures[:1], [None], 0.5, 1)
    with pytest.raises(ValueError, match="Stub must answer masks"):
        look(Stub("mask-generation", answer), pictures[:1], [None], 0.5, 1)


def test_a_zero_shot_detector_must_be_told_and_masks_cannot_be():
    with pytest.raises(ValueError, match="needs to be told what to look for: pass classes"):
        check_classes(Stub("zero-shot-object-detection", []), [])
    with pytest.raises(ValueError, match='"region"'):
        check_classes(Stub("mask-generation", []), ["car"])


def test_masks_become_the_boxes_around_them(pictures):
    mask, empty = np.zeros((50, 70), dtype=bool), np.zeros((50, 70), dtype=bool)
    mask[10, 20], mask[30, 40] = True, True
    answer = {"masks": [mask, Image.fromarray(mask), empty, mask], "scores": torch.tensor([0.9, 0.95, 0.99, 0.5])}
    (seen,) = look(Stub("mask-generation", answer), pictures[:1], [None], 0.88, 1)
    assert seen.boxes.tolist() == [[20, 10, 41, 31]] * 2
    assert seen.scores.tolist() == pytest.approx([0.9, 0.95])
    assert seen.labels.tolist() == ["region"] * 2


def test_names_of_detectors():
    class Model:
        name_or_path = "someone/detector"

    named = Stub("object-detection", [])
    named.model = Model()
    assert name_of(named) == "someone/detector"
    assert name_of(Stub("object-detection", [])) == "Stub"
