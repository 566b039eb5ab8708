import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import SIZE, save, small_model

# so that this folder's tests find what lies beside it when they run alone
sys.path.append(str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints") / "model"
    save(small_model(), folder, image_size=SIZE, context=0.25, loss="angle", similarity_weight=2.0)
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of 15 images of different sizes."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number in range(15):
        low = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(low).resize((60 + number, 50), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def source(photographs, tmp_path):
    """The same images with two boxes each, in COCO's format."""
    files = sorted(photographs.glob("*.png"))
    images = [
        {"id": n, "file_name": file.name, "width": Image.open(file).width, "height": 50} for n, file in enumerate(files)
    ]
    annotations = [
        {"id": 2 * n + k, "image_id": n, "category_id": k, "bbox": [5, 5, 40 - 20 * k, 30 - 15 * k]}
        for n in range(len(files))
        for k in (0, 1)
    ]
    content = {"images": images, "annotations": annotations, "categories": [{"id": k, "name": f"c{k}"} for k in (0, 1)]}
    folder = tmp_path / "coco"
    folder.mkdir()
    (folder / "instances_val.json").write_text(json.dumps(content))
    (folder / "images").symlink_to(photographs)
    return folder
