"""Reading Open Images box files and building their hierarchies, at the sizes of the published splits.

python benchmarks/hierarchy.py --full
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from machine import peak_memory, processor
from pyarrow import csv

from hf_hyperbolic.data.boxes import BoxTable, drop_images
from hf_hyperbolic.data.hierarchy import build_hierarchy
from hf_hyperbolic.data.open_images import read_open_images

# images and boxes of Open Images V7
SIZES = {"validation": (41_620, 303_980), "train": (1_743_042, 14_610_229)}
COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
# the train file of V6 and V7 holds the four clicks of each box as well
CLICKS = ",".join(f"XClick{point}{axis}" for point in range(1, 5) for axis in "XY")
NUM_CLASSES = 600
MOST_BOXES = 740
NAIVE_IMAGES = 1000


def box_counts(rng: np.random.Generator, images: int, boxes: int) -> np.ndarray:
    """(images,) at least 1, log-normal, their sum `boxes`."""
    weight = rng.lognormal(0, 1, images)
    counts = 1 + rng.multinomial(boxes - images, weight / weight.sum())
    excess = int((counts - counts.clip(max=MOST_BOXES)).sum())
    counts = counts.clip(max=MOST_BOXES)
    counts[:excess] += 1
    return counts


def nested_boxes(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """(boxes, 4) shares with six decimals; four boxes in ten lie in, or half out of, an earlier box of their image."""
    start = np.cumsum(counts) - counts
    boxes = np.empty((int(counts.sum()), 4))
    order = np.argsort(-counts, kind="stable")
    sorted_counts = counts[order]
    for rank in range(int(counts.max())):
        image = order[: np.searchsorted(-sorted_counts, -rank, side="left")]
        parent = np.tile([0.0, 0.0, 1.0, 1.0], (len(image), 1))
        if rank:
            inside = rng.random(len(image)) < 0.4
            parent[inside] = boxes[start[image[inside]] + rng.integers(0, rank, int(inside.sum()))]
        side = (parent[:, 2:] - parent[:, :2]) * np.exp(rng.normal(-1.0, 0.7, (len(image), 2))).clip(0.02, 1)
        centre = parent[:, :2] + rng.random((len(image), 2)) * (parent[:, 2:] - parent[:, :2])
        low, high = (centre - side / 2).clip(0, 0.99), (centre + side / 2).clip(0.01, 1)
        boxes[start[image] + rank] = np.concatenate([low, np.maximum(high, low + 0.001)], axis=1)
    return np.rint(boxes * 1e6) / 1e6


def write_box_file(path: Path, images: int, boxes: int, clicks: bool) -> None:
    """Writes the same file every time; aside, then renamed."""
    rng = np.random.default_rng(0)
    counts = box_counts(rng, images, boxes)
    image = np.repeat(np.arange(images), counts)
    ids = np.sort(np.frombuffer(rng.bytes(8 * images).hex().encode(), dtype="S16"))
    corners = nested_boxes(rng, counts)
    zipf = 1 / np.arange(1, NUM_CLASSES + 1)
    label = rng.choice(NUM_CLASSES, boxes, p=zipf / zipf.sum())
    mids = np.array([f"/m/{number:05x}" for number in range(NUM_CLASSES)], dtype="S8")
    aside = path.with_name(f"writing-{path.name}")
    with open(aside, "wb") as stream:
        stream.write((COLUMNS + ("," + CLICKS if clicks else "") + "\n").encode())
        for first in range(0, boxes, 1 << 19):
            part = slice(first, first + (1 << 19))
            x0, y0, x1, y1 = corners[part].T
            rows = len(x0)
            flags = [(rng.random(rows) < share).astype(np.int8) for share in (0.6, 0.3, 0.06, 0.05, 0.002)]
            text = [pa.array(column).cast(pa.string()) for column in (ids[image[part]], mids[label[part]])]
            columns = [text[0], pa.array(["xclick"] * rows), text[1], np.ones(rows, np.int8), x0, x1, y0, y1, *flags]
            if clicks:
                columns += [x0, y0, x1, y0, x1, y1, x0, y1]
            batch = pa.table([pa.array(column) for column in columns], names=[str(n) for n in range(len(columns))])
            csv.write_csv(batch, stream, csv.WriteOptions(include_header=False, quoting_style="none"))
    os.replace(aside, path)


def naive_pairs(boxes: np.ndarray) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Ancestry and direct pairs of one image's boxes by nested loops; box b is node b + 1, the scene node 0."""
    area = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes.tolist()]
    rows = boxes.tolist()

    def shared(a: list[float], b: list[float]) -> float:
        return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))

    frame = [0.0, 0.0, 1.0, 1.0]
    whole = [shared(row, frame) / (area[b] + 1 - shared(row, frame)) > 0.9 for b, row in enumerate(rows)]
    parts = sorted((b for b in range(len(rows)) if not whole[b]), key=lambda b: area[b])
    below: dict[int, set[int]] = {}
    duplicates = set()
    for a in parts:
        below[a] = set()
        for b in parts:
            overlap = shared(rows[a], rows[b])
            if overlap / (area[a] + area[b] - overlap) > 0.9:
                duplicates.add((a, b))
            elif area[a] > area[b] and overlap >= 0.8 * area[b]:
                below[a] |= {b} | below[b]
    direct = {(a, b) for a in parts for b in below[a] if not any(b in below[m] for m in below[a])}
    ancestry = {(a, b) for a in parts for b in below[a]} - duplicates
    children = {b for _, b in direct}
    return (
        {(a + 1, b + 1) for a, b in ancestry} | {(0, b + 1) for b in parts},
        {(a + 1, b + 1) for a, b in direct} | {(0, b + 1) for b in parts if b not in children},
    )


def compare(table: BoxTable) -> None:
    """Asserts that the build and the loops agree on some images, and prints how long both take."""
    step = table.num_images // NAIVE_IMAGES
    some = drop_images(table, np.flatnonzero(np.arange(table.num_images) % step != 0), [])
    start = time.process_time()
    found = build_hierarchy(some)
    fast = time.process_time() - start
    start = time.process_time()
    naive = [naive_pairs(some.boxes[some.box_image == i].astype(np.float64)) for i in range(some.num_images)]
    slow = time.process_time() - start
    first = some.num_images + np.searchsorted(some.box_image, np.arange(some.num_images))
    for number, pairs in enumerate((found.ancestry, found.direct)):
        local = np.where(pairs < some.num_images, 0, pairs - first[found.node_image[pairs]] + 1)
        image = found.node_image[pairs[:, :1]]
        expected = {(image, *pair) for image, sets in enumerate(naive) for pair in sets[number]}
        assert set(map(tuple, np.concatenate([image, local], axis=1).tolist())) == expected
    print(
        f"{some.num_images:,} images, {some.num_boxes:,} boxes, equal pairs: nested loops {slow:.2f} s, "
        f"build_hierarchy {fast:.3f} s of processor time: {slow / fast:.0f} times"
    )


def seconds() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def measure(name: str, path: Path) -> None:
    """Reads and builds once, in this process, and prints a line."""
    start, start_cpu = seconds()
    table = read_open_images(path, include_group_of=True, min_share=0)
    read, read_cpu = seconds()
    hierarchy = build_hierarchy(table)
    built, built_cpu = seconds()
    peak = peak_memory() / 1e9
    print(
        f"{name:12}{table.num_boxes:12,}{path.stat().st_size / 1e6:9,.0f}{read - start:9.2f}{read_cpu - start_cpu:9.2f}"
        f"{table.num_boxes / (read - start):13,.0f}{built - read:9.2f}{built_cpu - read_cpu:9.2f}"
        f"{built - start:9.2f}{peak:9.2f}{len(hierarchy.ancestry):13,}{len(hierarchy.direct):13,}"
        f"{hierarchy.level.max():7}",
        flush=True,
    )
    if name == "validation":
        compare(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"), help="where the files are written")
    parser.add_argument("--full", action="store_true", help="the train size as well: a file of 2.3 GB")
    parser.add_argument("--measure", choices=SIZES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    paths = {name: arguments.output / f"{name}-annotations-bbox.csv" for name in SIZES}
    if arguments.measure:
        measure(arguments.measure, paths[arguments.measure])
        return
    print(f"{processor()}, {os.cpu_count()} processors; numpy {np.__version__}, pyarrow {pa.__version__}")
    print("seconds of wall clock (w) and of processor, user and system (p); peak memory of a fresh process\n")
    titles = (
        f"{'':12}{'boxes':>12}{'MB':>9}{'read w':>9}{'read p':>9}{'rows/s':>13}{'build w':>9}{'build p':>9}{'all w':>9}"
        f"{'peak GB':>9}{'ancestry':>13}{'direct':>13}{'levels':>7}"
    )
    print(titles, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in list(SIZES)[: 2 if arguments.full else 1]:
        if not paths[name].exists():
            write_box_file(paths[name], *SIZES[name], clicks=name == "train")
        # peak memory is that of a whole process: each size gets its own
        subprocess.run([sys.executable, __file__, "--output", arguments.output, "--measure", name], check=True)


if __name__ == "__main__":
    main()
