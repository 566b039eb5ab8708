"""What all builders share: a table of boxes, cut into shards, written as rows of `hierarchy_features`."""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets

from hf_hyperbolic.data.boxes import BoxTable, Problem, count_problems
from hf_hyperbolic.data.features import hierarchy_features
from hf_hyperbolic.data.overlap import DUPLICATE_IOU
from hf_hyperbolic.data.problem_log import ProblemLog
from hf_hyperbolic.data.rows import hierarchy_rows, split_images

_LOGGER = logging.getLogger(__name__)
# the least one process works on; also the least a streamed data set can shuffle or hand to a worker
_SHARD_IMAGES = 64
_MAX_SHARDS = 1024


@dataclass
class HierarchyConfig(datasets.BuilderConfig):
    """Where the annotations are, and how the hierarchy is built from them.

    Attributes:
        data_files: split -> annotation file (one alone is the split `"train"`).
        data_dir: the folder, where annotations are not one file a split (VOC).
        image_folder: where the images are; by default the reader's own.
        threshold: share of a part's area inside its whole, see `build_hierarchy`.
        duplicate_iou: see `build_hierarchy`.
        reader_options: further keyword arguments of the reader, for example `{"include_crowd": True}`.
    """

    image_folder: str | None = None
    threshold: float = 0.8
    duplicate_iou: float = DUPLICATE_IOU
    reader_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("threshold", "duplicate_iou"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {getattr(self, name)}")


class HierarchyBuilder(datasets.GeneratorBasedBuilder):
    """Base of the builders. A subclass gives the reader.

    `num_proc` of `download_and_prepare` divides the images among processes and changes nothing else. Images are
    embedded as `embed_image` does; those that cannot be used are left out, counted in a warning at the end, and listed
    by `problems`. The cache knows annotation files by their path and time, images not at all: after images have
    changed, pass `download_mode="force_redownload"`.
    """

    BUILDER_CONFIG_CLASS = HierarchyConfig
    # rows hold whole image files: few at a time
    DEFAULT_WRITER_BATCH_SIZE = _SHARD_IMAGES

    _problem_folder: Path | None = None

    def _reader(self) -> Callable[..., BoxTable]:
        """The function that reads annotations; imported on use."""
        raise NotImplementedError

    def splits(self) -> dict[str, tuple[Any, ...]]:
        """Split -> first arguments of the reader."""
        if not self.config.data_files:
            raise ValueError(
                f"{type(self).__name__} needs annotation files: pass data_files, for example "
                'data_files={"train": "path/to/annotations"}'
            )
        for split, files in self.config.data_files.items():
            if len(files) != 1:
                raise ValueError(
                    f"split {split!r} has {len(files)} annotation files, expected 1: write "
                    f'data_files={{"{split}": "path/to/annotations"}}'
                )
        return {str(split): (files[0], self.config.image_folder) for split, files in self.config.data_files.items()}

    def read_table(self, split: str) -> BoxTable:
        """The boxes of a split, as read from its annotations.

        Raises:
            ValueError: there is no such split, or no such reader option; and what the reader raises.
        """
        splits, reader, options = self.splits(), self._reader(), self.config.reader_options or {}
        if split not in splits:
            raise ValueError(f"no split {split!r}: there is {', '.join(splits)}")
        known = [p.name for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"reader_options: unknown {', '.join(unknown)}; {reader.__name__} takes {', '.join(known)}"
            )
        return reader(*splits[split], **options)

    def problems(self, split: str) -> tuple[Problem, ...]:
        """What was skipped, clipped or encoded again when the split was prepared; long lists shortened.

        Raises:
            FileNotFoundError: the split was not prepared yet.
        """
        return tuple(Problem(**row) for row in json.loads(_problem_file(Path(self.cache_dir), split).read_text()))

    def _info(self) -> datasets.DatasetInfo:
        # the features hold the class names, which are known once the annotations are read: see _split_generators
        return datasets.DatasetInfo(description=inspect.cleandoc(type(self).__doc__ or ""))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        generators = []
        names: dict[str, tuple[str, ...]] = {}
        self._read_problems: dict[str, tuple[Problem, ...]] = {}
        federated = False
        for split in self.splits():
            table = self.read_table(split)
            names[split], federated = table.class_names, federated or table.federation is not None
            self._read_problems[split] = table.problems
            # a list is what datasets divides among processes
            generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"tables": shards(table)}))
        first = next(iter(names))
        for split, found in names.items():
            if found != names[first]:
                raise ValueError(
                    f"splits {first!r} and {split!r} have other classes ({len(names[first])} and {len(found)}, or in "
                    "another order) and cannot be one data set: load them one by one"
                )
        self.info.features = hierarchy_features(names[first], federated)
        return generators

    def _generate_examples(self, tables: list[BoxTable]) -> Iterator[tuple[str, dict[str, Any]]]:
        for table in tables:
            problems: list[Problem] = []
            for row in hierarchy_rows(table, problems, self.config.threshold, self.config.duplicate_iou):
                yield row["image_id"], row
            if self._problem_folder:
                _shard_file(self._problem_folder, table).write_text(_to_json(problems))
            elif problems:
                _LOGGER.warning("%s", _summary(problems))

    def _prepare_split(self, split_generator: datasets.SplitGenerator, **kwargs: Any) -> None:
        # processes share no memory: each shard leaves its problems in a file
        split = str(split_generator.name)
        self._problem_folder = Path(self._output_dir) / f"problems-{split}"
        self._problem_folder.mkdir(parents=True)
        try:
            super()._prepare_split(split_generator, **kwargs)
            found = list(self._read_problems[split])
            for table in split_generator.gen_kwargs["tables"]:
                file = _shard_file(self._problem_folder, table)
                found += [Problem(**row) for row in json.loads(file.read_text())]
                file.unlink()
            self._problem_folder.rmdir()
        finally:
            self._problem_folder = None
        _problem_file(Path(self._output_dir), split).write_text(_to_json(ProblemLog(found).problems()))
        if found:
            _LOGGER.warning("split %s: %s", split, _summary(found))


def shards(table: BoxTable) -> list[BoxTable]:
    """A table cut into tables of 64 images or more, in order."""
    step = max(_SHARD_IMAGES, -(-table.num_images // _MAX_SHARDS))
    return split_images(table, step)


def _problem_file(folder: Path, split: str) -> Path:
    return folder / f"problems-{split}.json"


def _shard_file(folder: Path, table: BoxTable) -> Path:
    return folder / f"{hashlib.sha1(str(table.image_ids[0]).encode()).hexdigest()}.json"


def _to_json(problems: Any) -> str:
    return json.dumps([asdict(problem) for problem in problems])


def _summary(problems: list[Problem]) -> str:
    listed = ", ".join(f"{count:,} {reason}" for reason, count in count_problems(problems).most_common())
    return f"problems with images or boxes: {listed}; the first: {problems[0]}"
