"""An encoder that sees the mean colour of a crop, quickly; also used by the processes that tests start and kill."""

import os
import signal

import numpy as np


class ColourEncoder:
    name = "/once/here/colours"
    dim = 4
    dtype = "float32"
    measures = {"children": "beta", "parents": "distance"}  # noqa: RUF012

    def __init__(self, curvature=0.5, fingerprint="f" * 64, kill_at=None, nan_at=None):
        self.curvature, self.fingerprint, self.kill_at, self.nan_at = curvature, fingerprint, kill_at, nan_at
        self.calls = 0

    @property
    def preprocessing(self):
        return {"image_size": 8, "context": 0.0, "crop_mode": "resize", "mean": [0.0] * 3, "std": [1.0] * 3}

    def encode_crops(self, crops, batch_size=256):
        self.calls += 1
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        means = crops.reshape(len(crops), -1, 3).mean(1) / 255
        spread = crops.reshape(len(crops), -1).std(1, keepdims=True) / 255
        found = np.concatenate([means - 0.4, spread], 1).astype(np.float32)
        if self.calls == self.nan_at:
            found[1] = np.nan
        return found

    def encode(self, images, boxes=None, batch_size=256):
        from hf_hyperbolic.data.crops import crop

        boxes = boxes or [None] * len(images)
        crops = [
            crop(image.convert("RGB"), (0, 0, *image.size) if box is None else box, 8)
            for image, box in zip(images, boxes, strict=True)
        ]
        return self.encode_crops(np.stack(crops))
