"""An index of drawn scenes by a small untrained model, and the demo's modules on the path as `python space/app.py` has
them."""

import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPACE = Path(__file__).parents[2] / "space"
sys.path.insert(0, str(SPACE))


@pytest.fixture(scope="session")
def index_folder(tmp_path_factory):
    """Twelve scenes with thumbnails; the model lies beside the index in `model/`."""
    import torch
    from transformers import ResNetConfig

    from hf_hyperbolic import HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel, make_image_processor
    from hf_hyperbolic.data.read import read_source
    from hf_hyperbolic.data.scenes import write_scenes
    from hf_hyperbolic.encoder import ImageEncoder
    from hf_hyperbolic.retrieval.index_build import build_index

    place = tmp_path_factory.mktemp("space")
    torch.manual_seed(0)
    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    model = HyperbolicCLIPVisionModel(HyperbolicCLIPVisionConfig(backbone_config=backbone, projection_dim=16))
    model.save_pretrained(place / "model")
    make_image_processor(32).save_pretrained(place / "model")
    write_scenes(place / "scenes", "test", 12)
    encoder = ImageEncoder.from_pretrained(place / "model")
    source = read_source(place / "scenes", "test")
    build_index(place / "index", encoder, source, "scenes", "test", thumbnails=48, progress=False)
    return place / "index"


@pytest.fixture(scope="session")
def answers(index_folder):
    from answers import Answers

    from hf_hyperbolic.retrieval import Index

    return Answers(Index.open(index_folder))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """Name -> file: what should not be sent."""
    from uploads import MOST_BYTES

    place = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (200, 200, 3)).astype(np.uint8))
    noise.save(place / "whole.jpg")
    noise.save(place / "whole.png")
    for name in ("jpg", "png"):
        content = (place / f"whole.{name}").read_bytes()
        (place / f"truncated.{name}").write_bytes(content[: len(content) // 2])
    (place / "huge.jpg").write_bytes((place / "whole.jpg").read_bytes() + b"\0" * MOST_BYTES)
    # 60 million pixels in some ten kilobytes
    Image.new("1", (10_000, 6_000)).save(place / "many_pixels.png")
    (place / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    (place / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    (place / "empty.jpg").write_bytes(b"")
    (place / "text.png").write_text("root:x:0:0\n")
    # a header that promises 65,535 x 65,535 pixels
    (place / "bomb.gif").write_bytes(
        b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\2\2L\1\0;"
    )
    # a few hundred kilobytes of text chunk that unpack to 100 MB
    bomb = zlib.compress(b"\0" * 100_000_000, 9)
    chunk = b"zTXtComment\0\0" + bomb
    text = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    content = (place / "whole.png").read_bytes()
    (place / "text_bomb.png").write_bytes(content[:33] + text + content[33:])  # behind the header
    # a header that promises 16,383 x 16,383 pixels
    (place / "bomb.webp").write_bytes(b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xfe\xbf\xff\x0f" + b"\0" * 13)
    (place / "script.ps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    Image.new("L", (20, 20)).save(place / "scan.tiff")
    return {file.name: file for file in place.iterdir() if not file.name.startswith("whole")}


@pytest.fixture(scope="session")
def uploads(tmp_path_factory):
    """Where the demo keeps what was sent."""
    return tmp_path_factory.mktemp("server") / "uploads"


@pytest.fixture(scope="session")
def server(index_folder, uploads):
    """Address of the demo, started as a person starts it, without a network."""
    pytest.importorskip("gradio")
    port = free_port()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(uploads)}
    environment.pop("MODEL", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(SPACE.parent), environment.get("PYTHONPATH", "")])
    command = [sys.executable, str(SPACE / "app.py"), "--index", str(index_folder), "--port", str(port)]
    with started(command, f"http://127.0.0.1:{port}", uploads.parent / "log", env=environment) as address:
        yield address


@contextmanager
def started(command, address, log, **more):
    """A demo that runs until the block ends; waits for its page."""
    with open(log, "w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, **more)
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=60).read()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
