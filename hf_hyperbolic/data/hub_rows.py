"""Rows of a data set of the Hub, however it is given: loaded, streamed, by its name or by its path."""

import os
from itertools import islice
from typing import Any, TypeAlias

import datasets

HubDataset: TypeAlias = datasets.Dataset | datasets.IterableDataset | str | os.PathLike[str]


def load_rows(dataset: HubDataset, split: str | None, max_images: int | None) -> tuple[datasets.Dataset, str]:
    """The rows to read, with undecoded images, and a name for them; arguments as in `read_hub_detection`.

    Raises:
        ValueError: several splits and none chosen, or a stream without `max_images` or without rows.
        TypeError: not a data set.
    """
    name = "data set"
    if isinstance(dataset, (str, os.PathLike)):
        name = os.fspath(dataset)
        dataset = datasets.load_dataset(name, split=split)
    if isinstance(dataset, (datasets.DatasetDict, datasets.IterableDatasetDict)):
        if len(dataset) > 1:
            raise ValueError(f"{name} has several splits: pass split=, one of {', '.join(map(str, dataset))}")
        (dataset,) = dataset.values()
    if not isinstance(dataset, (datasets.Dataset, datasets.IterableDataset)):
        raise TypeError(f"expected a data set, or its name or path, got {type(dataset).__name__}")
    parts = (dataset.info.dataset_name if name == "data set" else name, str(dataset.split or ""))
    name = "/".join(part for part in parts if part) or name
    if isinstance(dataset, datasets.IterableDataset):
        return _first_rows(dataset, name, max_images), name
    if max_images is not None:
        dataset = dataset.select(range(min(max_images, len(dataset))))
    return _undecoded(dataset.with_format(None)), name


def _first_rows(stream: datasets.IterableDataset, name: str, max_images: int | None) -> datasets.Dataset:
    if max_images is None:
        raise ValueError(
            f"{name} is streamed, so its images would have to be held in memory: pass max_images=, or load it without "
            "streaming"
        )
    stream = _undecoded(stream)
    rows = list(islice(stream, max_images))
    if not rows:
        raise ValueError(f"{name}: the stream has no rows: look at its split and filters")
    return _undecoded(datasets.Dataset.from_list(rows, features=stream.features))


def _undecoded(dataset: Any) -> Any:
    features = dataset.features or {}
    if isinstance(features.get("image"), datasets.Image):
        return dataset.cast_column("image", datasets.Image(decode=False))
    return dataset
