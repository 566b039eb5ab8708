import numpy as np
import pytest
import torch
from text_models import image_model, text_model, tokenizer
from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

from hf_hyperbolic import ImageEncoder, make_image_processor
from hf_hyperbolic.phrases import encode_phrases, save_processors, tokenize, unreadable


def test_phrases_are_embedded_in_batches_as_one_by_one():
    model, words = text_model(), tokenizer()
    phrases = ["a wheel", "street lamp", "car", "A  Car", "the wheel"]
    found = encode_phrases(model, words, phrases, batch_size=2)
    assert (found.shape, found.dtype) == ((5, 16), np.float32)
    for phrase, row in zip(phrases, found, strict=True):
        np.testing.assert_allclose(encode_phrases(model, words, [phrase])[0], row, rtol=1e-5, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert encode_phrases(model, words, []).shape == (0, 16)


def test_what_cannot_be_embedded_is_named():
    words = tokenizer()
    with pytest.raises(ValueError, match=r"does not know 'harbour' of the phrase 'a Harbour'.*names and captions"):
        tokenize(words, ["a car", "a Harbour"])
    with pytest.raises(ValueError, match="phrase 1 of 2 is empty"):
        tokenize(words, ["car", "  "])
    with pytest.raises(ValueError, match="has 22 tokens, and the text tower takes 16"):
        encode_phrases(text_model(), words, ["car " * 20])
    with pytest.raises(ValueError, match=r"phrases is one text.*give \['a car'\]"):
        encode_phrases(text_model(), words, "a car")


def test_what_would_be_refused_is_told_in_advance():
    words = tokenizer()
    texts = ["a car", "a Harbour", "car " * 20, "harbour " * 20]
    strange, long = unreadable(words, texts, 16)
    assert strange.tolist() == [False, True, False, True]
    assert long.tolist() == [False, False, True, True]
    for text, refused in zip(texts, strange | long, strict=True):
        if refused:
            with pytest.raises(ValueError, match=r"does not know|has 22 tokens"):
                tokenize(words, [text], 16)
        else:
            tokenize(words, [text], 16)
    assert not unreadable(words, texts)[1].any()
    assert [part.shape for part in unreadable(words, [], 16)] == [(0,), (0,)]


def test_the_folder_has_a_processor_for_both(tmp_path):
    model = text_model()
    model.save_pretrained(tmp_path)
    save_processors(tmp_path, make_image_processor(32), tokenizer())
    encoder = ImageEncoder.from_pretrained(tmp_path, "cpu")
    assert encoder.has_text
    assert encoder.image_size == 32
    found = encoder.encode_text(["a wheel", "car"])
    processor = AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(text=["a wheel", "car"], padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_array_equal(model.get_text_embeds(**inputs).numpy(), found)
    assert AutoImageProcessor.from_pretrained(tmp_path).size["height"] == 32
    assert AutoTokenizer.from_pretrained(tmp_path)("wheel")["input_ids"] == tokenizer()("wheel")["input_ids"]


def test_a_model_without_words_says_so(tmp_path):
    image_model().save_pretrained(tmp_path / "image")
    encoder = ImageEncoder.from_pretrained(tmp_path / "image", "cpu")
    assert not encoder.has_text
    with pytest.raises(ValueError, match=r"image has no text tower.*add_text\.py"):
        encoder.encode_text(["a wheel"])
    text_model().save_pretrained(tmp_path / "text")
    with pytest.raises(ValueError, match="no tokenizer lies beside"):
        ImageEncoder.from_pretrained(tmp_path / "text", "cpu").encode_text(["a wheel"])
