"""`image-feature-extraction` gives embeddings: what docs/export.md says of its arguments."""

import numpy as np
import torch
from PIL import Image
from transformers import pipeline

from hf_hyperbolic.export.checkpoint import load_checkpoint


def test_image_feature_extraction(checkpoint, photographs):
    encoder = load_checkpoint(checkpoint)
    files = sorted(str(file) for file in photographs.glob("*.png"))[:3]
    ours = encoder.encode([Image.open(file) for file in files])
    extract = pipeline("image-feature-extraction", model=str(checkpoint), trust_remote_code=True, device="cpu")
    one = extract(files[0], return_tensors=True)
    assert (one.shape, one.dtype) == ((1, 16), torch.float32)
    np.testing.assert_allclose(one[0], ours[0], atol=1e-5)
    plain = extract(files[0])
    assert isinstance(plain[0][0], float)
    np.testing.assert_allclose(plain, one, atol=1e-7)
    for batch_size in (1, 3):
        many = extract(files, batch_size=batch_size, return_tensors=True)
        np.testing.assert_allclose(torch.cat(many), ours, atol=1e-5)
    pooled = extract(files[0], pool=True, return_tensors=True)
    with torch.no_grad():
        expected = extract.model(**extract.image_processor(Image.open(files[0]), return_tensors="pt")).pooler_output
    assert pooled.shape == (1, 16)
    torch.testing.assert_close(pooled, expected)
    assert not torch.allclose(pooled, one, atol=1e-3)
