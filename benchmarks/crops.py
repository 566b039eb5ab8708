"""Crops a second: each box from its file, each image once, JPEGs decoded at a fraction, with workers, from Parquet.

python benchmarks/crops.py                  # generated photographs of 1600 x 1200, 8 boxes each
python benchmarks/crops.py --data FOLDER    # a folder with instances_val.json and images/
python benchmarks/crops.py --stream         # batches from Parquet shards beside those from files
"""

import argparse
import functools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL
from machine import processor
from PIL import Image, features
from torch.utils.data import DataLoader, Dataset

from hf_hyperbolic.data.batches import BatchPlan, BatchSampler, CropBatches, node_crops
from hf_hyperbolic.data.boxes import BoxTable, drop_images
from hf_hyperbolic.data.coco import read_coco
from hf_hyperbolic.data.crops import crop
from hf_hyperbolic.data.hierarchy import Hierarchy, build_hierarchy
from hf_hyperbolic.data.image_reader import ImageReader
from hf_hyperbolic.data.images import decode
from hf_hyperbolic.data.scaling import decoding_scale
from hf_hyperbolic.data.streaming import StreamedBatches

SIZES = (64, 112, 224)
WIDTH, HEIGHT = 1600, 1200
BOXES = 8
REPEATS = 3
WORKERS = 2
SHARDS = 4
# sides of the generated boxes as shares of the image's: of large things only, and of things of all sizes
SIDES = {"large boxes": (0.45, 0.95), "boxes of all sizes": (0.04, 0.8)}


def photograph(rng: np.random.Generator) -> Image.Image:
    """Noise whose spectrum falls as that of photographs does, with the edges of some darker and lighter panes."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    frequency[0, 0] = np.inf
    layers = []
    for _ in range(3):
        spectrum = (rng.standard_normal(frequency.shape) + 1j * rng.standard_normal(frequency.shape)) / frequency**1.4
        layer = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
        layers.append(layer / layer.std())
    light, a, b = layers
    pixels = 120 + 40 * np.stack([light + 0.3 * a, light - 0.15 * (a + b), light + 0.3 * b], axis=-1)
    for _ in range(6):
        x, y = rng.integers(0, WIDTH - 100), rng.integers(0, HEIGHT - 100)
        pixels[y : y + rng.integers(50, 500), x : x + rng.integers(50, 500)] *= rng.uniform(0.5, 1.5)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def generate(folder: Path, images: int, sides: tuple[float, float]) -> BoxTable:
    rng = np.random.default_rng(0)
    files, boxes = [], []
    for number in range(images):
        file = folder / f"{number}.jpg"
        drawing = np.random.default_rng([1, number])
        if not file.exists():
            photograph(drawing).save(file, quality=85)
        files.append(str(file))
        smallest, largest = np.log(sides)
        share = np.exp(rng.uniform(smallest, largest, (BOXES, 2)))
        low = rng.uniform(0, 1 - share)
        boxes.append(np.concatenate([low, low + share], axis=1) * np.tile([WIDTH, HEIGHT], 2))
    return BoxTable(
        image_ids=np.array([str(number) for number in range(images)]),
        image_files=np.array(files),
        image_sizes=np.tile(np.array([[WIDTH, HEIGHT]], dtype=np.int32), (images, 1)),
        box_image=np.repeat(np.arange(images, dtype=np.int32), BOXES),
        boxes=np.concatenate(boxes).astype(np.float32),
        labels=np.zeros(images * BOXES, dtype=np.int32),
        class_names=("thing",),
    )


def by_box(table: BoxTable, hierarchy: Hierarchy, nodes: np.ndarray, size: int) -> np.ndarray:
    """Every box anew: open the file, decode it, cut, resize."""
    return np.stack(
        [crop(decode(table.image_files[hierarchy.node_image[n]]), hierarchy.node_box[n], size) for n in nodes]
    )


def by_image(table: BoxTable, hierarchy: Hierarchy, nodes: np.ndarray, size: int) -> np.ndarray:
    """Every image decoded in full, once."""
    crops: dict[int, np.ndarray] = {}
    for image in np.unique(hierarchy.node_image[nodes]):
        decoded = decode(table.image_files[image])
        for node in nodes[hierarchy.node_image[nodes] == image].tolist():
            crops[node] = crop(decoded, hierarchy.node_box[node], size)
    return np.stack([crops[node] for node in nodes.tolist()])


class OneImage(Dataset[np.ndarray]):
    """Item i: the crops of image i, through the path that training takes."""

    def __init__(self, table: BoxTable, hierarchy: Hierarchy, size: int) -> None:
        self.reader, self.hierarchy, self.size = ImageReader(table, cache_bytes=0), hierarchy, size

    def __len__(self) -> int:
        return self.hierarchy.num_images

    def __getitem__(self, image: int) -> np.ndarray:
        if image >= len(self):
            raise IndexError(image)
        return node_crops(self.reader, self.hierarchy, self.hierarchy.image_nodes(image), self.size)[0]


def best(*ways: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> list[float]:
    """Least seconds of each way, the ways taking turns: of this process's own work, whatever else the machine does."""
    seconds = [math.inf] * len(ways)
    for _ in range(REPEATS):
        for i, way in enumerate(ways):
            start = clock()
            way()
            seconds[i] = min(seconds[i], clock() - start)
    return seconds


def consume(items: Iterable[Any]) -> int:
    return sum(len(item["nodes"]) if isinstance(item, dict) else len(item) for item in items)


def consume_all(images: "OneImage") -> int:
    return consume(images[i] for i in range(len(images)))


def compare(name: str, table: BoxTable) -> None:
    hierarchy = build_hierarchy(table)
    nodes = np.arange(hierarchy.num_nodes)
    print(f"\n{name}: {hierarchy.num_images} images, {hierarchy.num_nodes} crops (scenes and boxes)")
    print(f"{'crops a second':>14}{'by box':>9}{'by image':>10}{'ours':>8}{f'{WORKERS} workers':>11}", end="")
    print(f"{'ours/by box':>13}{'ours/by image':>15}{'at 1, 1/2, 1/4, 1/8':>21}{'mean, max difference':>22}")
    for size in SIZES:
        ours = OneImage(table, hierarchy, size)
        helped = DataLoader(ours, batch_size=None, num_workers=WORKERS, persistent_workers=True)
        consume(helped)  # starts the workers
        seconds = best(
            functools.partial(by_box, table, hierarchy, nodes, size),
            functools.partial(by_image, table, hierarchy, nodes, size),
            functools.partial(consume_all, ours),
        )
        seconds += best(functools.partial(consume, helped), clock=time.perf_counter)
        rates = [len(nodes) / duration for duration in seconds]
        found = node_crops(ours.reader, hierarchy, nodes, size)[0].astype(int)
        difference = np.abs(found - by_box(table, hierarchy, nodes, size))
        scales = [
            decoding_scale(hierarchy.node_box[hierarchy.image_nodes(i)], tuple(table.image_sizes[i]), size)
            for i in range(len(ours))
        ]
        counts = ", ".join(str(scales.count(scale)) for scale in (1, 2, 4, 8))
        print(f"{f'{size} px':>14}{rates[0]:9.0f}{rates[1]:10.0f}{rates[2]:8.0f}{rates[3]:11.0f}", end="")
        print(f"{rates[2] / rates[0]:13.1f}{rates[2] / rates[1]:15.2f}{counts:>21}", end="")
        print(f"{difference.mean():16.2f}, {difference.max():4d}")


def export(table: BoxTable, hierarchy: Hierarchy, folder: Path) -> None:
    """Parquet shards of whole images with the columns that are streamed."""
    integers, pairs = datasets.List(datasets.Value("int32")), datasets.List(datasets.List(datasets.Value("int32"), 2))
    columns = datasets.Features(
        {
            "image": datasets.Image(decode=False),
            "image_id": datasets.Value("string"),
            "width": datasets.Value("int32"),
            "height": datasets.Value("int32"),
            "boxes": datasets.List(datasets.List(datasets.Value("float32"), 4)),
            "labels": datasets.List(datasets.ClassLabel(names=list(table.class_names))),
            "levels": integers,
            "is_scene_duplicate": datasets.List(datasets.Value("bool")),
            "direct": pairs,
            "ancestry": pairs,
        }
    )
    (folder / "data").mkdir()
    for shard, images in enumerate(np.array_split(np.arange(table.num_images), SHARDS)):
        rows = []
        for image in images.tolist():
            nodes = hierarchy.image_nodes(image)
            local = {node: place for place, node in enumerate(nodes.tolist())}
            rows.append(
                {
                    "image": {"bytes": Path(table.image_files[image]).read_bytes(), "path": None},
                    "image_id": table.image_ids[image],
                    "width": table.image_sizes[image, 0],
                    "height": table.image_sizes[image, 1],
                    "boxes": hierarchy.node_box[nodes[1:]].tolist(),
                    "labels": hierarchy.node_label[nodes[1:]].tolist(),
                    "levels": hierarchy.level[nodes[1:]].tolist(),
                    "is_scene_duplicate": hierarchy.node_is_scene_duplicate[nodes[1:]].tolist(),
                    "direct": [[local[p], local[c]] for p, c in hierarchy.direct.tolist() if p in local],
                    "ancestry": [[local[p], local[c]] for p, c in hierarchy.ancestry.tolist() if p in local],
                }
            )
        data = datasets.Dataset.from_list(rows, features=columns).cast_column("image", datasets.Image())
        data.to_parquet(folder / "data" / f"train-{shard:05d}-of-{SHARDS:05d}.parquet")


def compare_streaming(name: str, table: BoxTable) -> None:
    hierarchy = build_hierarchy(table)
    plan = BatchPlan(scenes=8, boxes_per_scene=12)
    print(f"\n{name}: batches of 8 images, crops a second")
    print(f"{'':>14}{'files':>9}{'Parquet':>9}{f'files, {WORKERS} workers':>19}{f'Parquet, {WORKERS} workers':>20}")
    with tempfile.TemporaryDirectory() as folder:
        export(table, hierarchy, Path(folder))
        for size in SIZES:
            files = CropBatches(ImageReader(table, 0), hierarchy, BatchSampler(hierarchy, plan), size)
            steps = range(files.sampler.steps_per_epoch)
            stream = StreamedBatches(folder, "train", plan, size, buffer=64, epochs=1)
            loaders = [
                DataLoader(data, batch_size=None, sampler=order, num_workers=workers, persistent_workers=workers > 0)
                for workers in (0, WORKERS)
                for data, order in ((files, steps), (stream, None))
            ]
            counts = [consume(loader) for loader in loaders]
            alone, helped = loaders[:2], loaders[2:]
            seconds = best(*[functools.partial(consume, loader) for loader in alone])
            seconds += best(*[functools.partial(consume, loader) for loader in helped], clock=time.perf_counter)
            rates = [count / duration for count, duration in zip(counts, seconds, strict=True)]
            print(f"{f'{size} px':>14}{rates[0]:9.0f}{rates[1]:9.0f}{rates[2]:19.0f}{rates[3]:20.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with instances_val.json and images/")
    parser.add_argument("--images", type=int, default=24, help="how many images (default %(default)s)")
    parser.add_argument("--stream", action="store_true", help="compare Parquet shards with files instead")
    args = parser.parse_args()
    print(f"{processor()}; pillow {PIL.__version__}, libjpeg-turbo {features.check_feature('libjpeg_turbo')}")
    print(
        f"best of {REPEATS}; images are decoded anew each time; without workers processor time, with them by the clock"
    )
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    run = compare_streaming if args.stream else compare
    if args.data:
        table = read_coco(args.data / "instances_val.json", args.data / "images")
        run(
            str(args.data.name), drop_images(table, np.arange(min(args.images, table.num_images), table.num_images), [])
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, sides in SIDES.items():
            table = generate(Path(folder), args.images, sides)
            kilobytes = np.mean([Path(file).stat().st_size for file in table.image_files]) / 1000
            run(f"{WIDTH} x {HEIGHT} ({kilobytes:.0f} kB), {name}", table)


if __name__ == "__main__":
    main()
