"""PASCAL VOC folders as a `datasets` builder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hf_hyperbolic.data.boxes import BoxTable
from hf_hyperbolic.data.builders.base import HierarchyBuilder

_SPLITS = ("train", "val", "test")


class HierVoc(HierarchyBuilder):
    """Images of a VOC folder with the hierarchy of their boxes and parts; `data_dir`: the folder with `Annotations`.

    The splits are those of `train`, `val` and `test` that `ImageSets/Main` lists; without any, all images are
    `"train"`.
    """

    def splits(self) -> dict[str, tuple[Any, ...]]:
        if not self.config.data_dir:
            raise ValueError('HierVoc needs the folder with Annotations: pass data_dir="path/to/VOC2007"')
        folder = Path(self.config.data_dir)
        listed = [split for split in _SPLITS if (folder / "ImageSets" / "Main" / f"{split}.txt").is_file()]
        return {split: (folder, split) for split in listed} or {"train": (folder, None)}

    def _reader(self) -> Callable[..., BoxTable]:
        from hf_hyperbolic.data.voc import read_voc

        return read_voc
