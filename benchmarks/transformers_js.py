"""How far an exported folder's embeddings in JavaScript are from those of the checkpoint in Python.

NODE_PATH=.../node_modules python benchmarks/transformers_js.py CHECKPOINT EXPORT IMAGES [--count 20]

Needs node, and @huggingface/transformers in the node_modules (`npm install --ignore-scripts @huggingface/transformers`,
which brings onnxruntime-node and onnxruntime-web).
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hf_hyperbolic.data.detect import find_images
from hf_hyperbolic.encoder import ImageEncoder, normalise
from hf_hyperbolic.export.agreement import Agreement, compare
from hf_hyperbolic.export.crops import random_crops

SCRIPT = Path(__file__).with_suffix(".cjs")
RUNTIMES = ("onnxruntime-node", "onnxruntime-web")


def ask(folder: Path, **request: Any) -> np.ndarray:
    """(n, D) embeddings by node.

    Raises:
        RuntimeError: node failed; what it said.
    """
    with tempfile.TemporaryDirectory() as aside:
        if "pixels" in request:
            pixels = request["pixels"].astype("<f4")
            (Path(aside) / "pixels").write_bytes(pixels.tobytes())
            request |= {"pixels": str(Path(aside) / "pixels"), "dims": pixels.shape}
        file = Path(aside) / "request.json"
        file.write_text(json.dumps({"folder": str(folder), **request}), encoding="utf-8")
        done = subprocess.run(["node", str(SCRIPT), str(file)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return np.array(json.loads(done.stdout), dtype=np.float32)


def through_runtime(encoder: ImageEncoder, folder: Path, dtype: str, runtime: str) -> Agreement:
    """Of the same pixels by onnxruntime in JavaScript."""
    crops = random_crops(5, encoder.image_size)
    pixels = normalise(torch.from_numpy(crops.transpose(0, 3, 1, 2)), encoder.mean, encoder.std).numpy()
    return compare(encoder.encode_crops(crops), ask(folder, dtype=dtype, runtime=runtime, pixels=pixels))


def through_transformers(encoder: ImageEncoder, folder: Path, dtype: str, files: list[Path]) -> Agreement:
    """Of the same image files, read and scaled by transformers.js."""
    ours = encoder.encode([Image.open(file) for file in files])
    return compare(ours, ask(folder, dtype=dtype, images=[str(file.resolve()) for file in files]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("export", type=Path, help="folder that `hf-hyperbolic export onnx --quantize` wrote")
    parser.add_argument("images", type=Path, help="folder of images")
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()
    encoder = ImageEncoder.from_pretrained(options.checkpoint, "cpu")
    root, names = find_images(options.images)
    files = [root / names[place] for place in np.linspace(0, len(names) - 1, options.count).astype(int)]
    for dtype in ("fp32", "q8"):
        for runtime in RUNTIMES:
            print(f"{dtype}, {runtime}, the same pixels: {through_runtime(encoder, options.export, dtype, runtime)}")
        found = through_transformers(encoder, options.export, dtype, files)
        print(f"{dtype}, transformers.js, the same files: {found}")


if __name__ == "__main__":
    main()
