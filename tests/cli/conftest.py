import json

import pytest
from PIL import Image


def document(split):
    boxes = [(1, [0, 0, 60, 60]), (2, [5, 5, 40, 40]), (3, [10, 10, 12, 12]), (3, [50, 50, 30, 30])]
    return {
        "images": [{"id": n, "file_name": f"{split}{n}.png", "width": 100, "height": 100} for n in range(3)],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": category, "bbox": box}
            for n in range(2)
            for k, (category, box) in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "house"}, {"id": 2, "name": "door"}, {"id": 3, "name": "handle"}],
    }


@pytest.fixture
def source(tmp_path):
    """A folder with two splits of three images in COCO's format, without a fault; the third image has no box."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    for split in ("train", "val"):
        (folder / f"instances_{split}.json").write_text(json.dumps(document(split)))
        for n in range(3):
            Image.new("RGB", (100, 100), (40 * n, 90, 90)).save(folder / "images" / f"{split}{n}.png")
    return folder


@pytest.fixture
def change(source):
    """Changes the annotations of the split val in place."""

    def apply(edit):
        file = source / "instances_val.json"
        content = json.loads(file.read_text())
        edit(content)
        file.write_text(json.dumps(content))

    return apply
