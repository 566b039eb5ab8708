"""What is to be published: the folder of a model, and what its run left beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hf_hyperbolic.configuration_hyperbolic_clip import HyperbolicCLIPConfig, HyperbolicCLIPVisionConfig
from hf_hyperbolic.encoder import CONVERSION_FILE
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import FROM_SCRATCH
from hf_hyperbolic.training.pretrain_arguments import PretrainArguments
from hf_hyperbolic.training.run_folder import METRICS
from hf_hyperbolic.training.text_arguments import TextArguments, given_words
from hf_hyperbolic.training.text_tower import FROM_SCRATCH as TEXT_FROM_SCRATCH

_MODELS = ("best", "final")
_SETTINGS_FILES = (TrainArguments.FILE, PretrainArguments.FILE, TextArguments.FILE)
# of a tokenizer, whichever it is, and of the processor that names it and the image processor
_OF_WORDS = ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model")
_SETTINGS_OF_WORDS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "processor_config.json")


@dataclass(frozen=True)
class TrainedModel:
    """
    Attributes:
        folder: with configuration, weights and code.
        run: the `--output_dir` it lies in; None for a folder of unknown origin.
        which: "best" or "final" of a run.
    """

    folder: Path
    run: Path | None
    which: str | None

    @classmethod
    def find(cls, path: str | Path, which: str = "best") -> "TrainedModel":
        """The model of a run, or of a folder that is one.

        Args:
            path: an `--output_dir` of training/train.py, or a checkpoint folder.
            which: of a run: "best" by the validation figure, or "final".

        Raises:
            FileNotFoundError: there is no such folder, or no model in it.
            ValueError: the model is not of this library, or its code or weights cannot travel.
        """
        given = Path(path)
        if not given.is_dir():
            raise FileNotFoundError(
                f"{path}: no such folder: give the --output_dir of training/train.py, or the folder of a model"
            )
        there = [name for name in _MODELS if (given / name / "config.json").is_file()]
        if there:
            if which not in there:
                raise FileNotFoundError(f"{path} has kept no model {which!r}: give --which {there[0]}")
            found = cls(given / which, given, which)
        elif (given / "config.json").is_file():
            inside = given.name in _MODELS and (given.parent / METRICS).is_file()
            found = cls(given, given.parent if inside else None, given.name if inside else None)
        elif (given / METRICS).is_file():
            raise FileNotFoundError(f"{path} is a run that has not kept a model yet: go on with it by --resume true")
        else:
            raise FileNotFoundError(f"{path} holds neither a run (best/, final/) nor a model (config.json)")
        found._check()
        return found

    def _check(self) -> None:
        kind, mine = self.config.get("model_type"), HyperbolicCLIPVisionConfig.model_type
        if kind not in (mine, HyperbolicCLIPConfig.model_type):
            raise ValueError(
                f"{self.folder} holds a model of type {kind!r}; what is pushed here is a {mine!r}. If it is a "
                f"backbone, of `hf-hyperbolic backbone moco` say, train with --backbone {self.folder} and push that "
                f"run; the backbone itself travels as any model does, by `hf upload USER/NAME {self.folder}`"
            )
        if not any(self.folder.glob("*.safetensors")):
            raise FileNotFoundError(f"{self.folder} holds no weights in safetensors, and nothing else is pushed")
        code = {f"{name.partition('.')[0]}.py" for name in self.config.get("auto_map", {}).values()}
        missing = sorted(name for name in code if not (self.folder / name).is_file())
        if missing or not code:
            raise ValueError(
                f"{self.folder} lacks its code ({', '.join(missing) or 'auto_map'}): load it and save it again by "
                "save_pretrained, which writes the code beside the weights"
            )

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration."""
        return read_json(self.folder / "config.json")

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the run was told; empty where that was not kept."""
        file = self.folder / TrainArguments.FILE
        return read_json(file) if file.is_file() else {}

    @property
    def has_text(self) -> bool:
        """Whether it has a text tower."""
        return self.config.get("model_type") == HyperbolicCLIPConfig.model_type

    @property
    def has_tokenizer(self) -> bool:
        """Whether the tokenizer of a text tower lies beside it."""
        return self.has_text and (self.folder / "tokenizer_config.json").is_file()

    @cached_property
    def words(self) -> dict[str, Any]:
        """What is known of how its text tower was trained: `text` and `data`, and what else `training/add_text.py` was
        told; empty without a text tower, or where that was not kept."""
        if not self.has_text:
            return {}
        file = self.folder / TextArguments.FILE
        if file.is_file():
            return read_json(file)
        with_the_images = self.settings.get("text_weight")
        return {name: self.settings.get(name) for name in ("text", "data", "captions")} if with_the_images else {}

    @property
    def chosen(self) -> str | None:
        """Which model of its run it is, "best" or "final", or its images' side where words were added to that; None
        where that is not known."""
        return self.which or given_words(self.words)

    @cached_property
    def conversion(self) -> dict[str, Any]:
        """Of a model converted from what others published, where it came from; empty for one trained here."""
        file = self.folder / CONVERSION_FILE
        return read_json(file) if file.is_file() and not self.settings else {}

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """The lines of the run's log; empty where there is none."""
        file = self.run / METRICS if self.run else None
        if file is None or not file.is_file():
            return []
        try:
            return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        except ValueError as error:
            raise ValueError(f"{file} has a line that is not JSON: {error}") from error

    @property
    def weights(self) -> list[Path]:
        """The files of its weights."""
        return sorted(self.folder.glob("*.safetensors"))

    @property
    def code(self) -> list[Path]:
        """The Python files that travel with it."""
        return sorted(self.folder.glob("*.py"))

    def public_files(self) -> dict[str, Path | str]:
        """Name -> file to copy, or text, of what travels: JSON files without the paths of this machine."""
        files: dict[str, Path | str] = {file.name: file for file in (*self.weights, *self.code)}
        words = _OF_WORDS if self.has_text else ()
        for name in ("model.safetensors.index.json", "preprocessor_config.json", CONVERSION_FILE, *words):
            if (self.folder / name).is_file():
                files[name] = self.folder / name
        files["config.json"] = as_json(without_paths(self.config))
        for name in _SETTINGS_OF_WORDS if self.has_text else ():
            if (self.folder / name).is_file():
                files[name] = as_json(without_paths(read_json(self.folder / name)))
        for name in _SETTINGS_FILES:
            if (self.folder / name).is_file():
                files[name] = as_json(public_settings(read_json(self.folder / name)))
        return files


def read_json(file: Path) -> dict[str, Any]:
    """
    Raises:
        ValueError: it does not hold one JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold one object of names and values")
    return content


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def is_local(name: str) -> bool:
    """Whether a name is of a file or folder here rather than of a repository on the Hub."""
    path = Path(name).expanduser()
    return path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists()


def hub_name(name: Any) -> str | None:
    """A name of a repository on the Hub, None for anything else."""
    return name if isinstance(name, str) and name.count("/") == 1 and not is_local(name) else None


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run as others may see them: of a path of this machine, its last part."""
    found = dict(settings)
    for name in ("output_dir", "scenes_dir", "data", "backbone", "run", "text", "aliases", "captions"):
        value = found.get(name)
        if isinstance(value, str) and value not in ("scenes", *FROM_SCRATCH, *TEXT_FROM_SCRATCH) and is_local(value):
            found[name] = Path(value).expanduser().resolve().name
    return found


def without_paths(config: Any) -> Any:
    """A configuration without the places that it and its backbone were loaded from."""
    if isinstance(config, dict):
        named = ("_name_or_path", "name_or_path")
        return {
            key: "" if key in named and isinstance(value, str) and is_local(value) else without_paths(value)
            for key, value in config.items()
        }
    return [without_paths(value) for value in config] if isinstance(config, list) else config
