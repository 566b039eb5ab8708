import json

import numpy as np
import pytest
from colour_encoder import ColourEncoder
from PIL import Image

from hf_hyperbolic.data.read import read_source

IMAGES, BOXES = 12, 4


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def data(tmp_path):
    """A folder in COCO's format: 12 images of noise in colours of their own, each with a house, a door and a handle in
    it, and a tree that stands alone."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    boxes = [(1, [0, 0, 60, 60]), (2, [5, 5, 40, 40]), (3, [10, 10, 12, 12]), (4, [65, 65, 30, 30])]
    for split in ("train", "val"):
        images = [{"id": f"{split}{n}", "file_name": f"{split}{n}.png", "width": 100, "height": 100}
                  for n in range(IMAGES)]  # fmt: skip
        annotations = [
            {"id": 10 * n + k, "image_id": f"{split}{n}", "category_id": category, "bbox": box}
            for n in range(IMAGES)
            for k, (category, box) in enumerate(boxes)
        ]
        names = ("house", "door", "handle", "tree")
        categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
        for n in range(IMAGES):
            pixels = rng.integers(0, 60, (100, 100, 3)) + rng.integers(0, 190, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{split}{n}.png")
    return folder


@pytest.fixture
def source(data):
    return read_source(data, "val")
