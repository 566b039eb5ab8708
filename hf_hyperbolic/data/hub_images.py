"""Image contents of a data set of the Hub."""

from pathlib import Path

import datasets

from hf_hyperbolic.data.images import BrokenImageError


class HubImages:
    """Image contents of a data set, by `"{name}#{row}"`: the `load` of an `ImageReader`.

    It may be sent to worker processes and shared between threads.

    Args:
        dataset: has a column `image`: undecoded `datasets` images, contents, or paths.
        name: of the data set.

    Raises:
        BrokenImageError: on reading an image that is not there.
    """

    def __init__(self, dataset: datasets.Dataset, name: str) -> None:
        self.dataset = dataset.select_columns(["image"])
        self.name = name

    def name_of(self, row: int) -> str:
        return f"{self.name}#{row}"

    def __call__(self, name: str) -> bytes:
        image = self.dataset[int(name.rpartition("#")[2])]["image"]
        if isinstance(image, str):
            image = {"path": image}
        elif isinstance(image, bytes):
            image = {"bytes": image}
        if not isinstance(image, dict) or not (image.get("bytes") is not None or image.get("path")):
            raise BrokenImageError("missing_file", name, f"the row holds no image but {type(image).__name__}")
        if image.get("bytes") is not None:
            return image["bytes"]
        try:
            return Path(image["path"]).read_bytes()
        except OSError as error:
            raise BrokenImageError("missing_file", name, f"{image['path']}: {error.strerror or error}") from error
