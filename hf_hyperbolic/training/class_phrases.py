"""What the classes of a data set are called, in words, and a tokenizer of these words alone."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

# as phrases are asked for
TEMPLATES = ("{}", "a {}", "the {}", "a picture of a {}")
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def phrase_of(class_name: str) -> str:
    """A class name as words: `traffic_light` and `Traffic light` alike are `traffic light`."""
    return re.sub(r"[_\s]+", " ", class_name).strip().lower()


def number_phrases(class_names: Sequence[str]) -> np.ndarray:
    """(C,) int64, which phrase each class is called by, numbered as they first occur."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(phrase_of(name), len(numbers)) for name in class_names], dtype=np.int64)


def called_alike(class_names: Sequence[str]) -> list[list[str]]:
    """Groups of classes, two or more in each, that are the same in words: no phrase tells them apart."""
    called = number_phrases(class_names)
    shared = np.flatnonzero(np.bincount(called) > 1)
    return [[class_names[number] for number in np.flatnonzero(called == one).tolist()] for one in shared]


def read_aliases(path: str | Path, class_names: Sequence[str]) -> dict[str, list[str]]:
    """Other names of classes, from a JSON file `{"sofa": ["couch", "settee"]}`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else, or names a class that the data do not have.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file: give JSON of classes and their other names")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) and name.strip() for name in names)
        for names in found.values()
    ):
        raise ValueError(f'{path} must map each class to a list of its other names: {{"sofa": ["couch"]}}')
    if unknown := sorted(set(found) - set(class_names)):
        raise ValueError(f"{path} names {', '.join(unknown[:5])}, which are no classes of the data")
    return found


class ClassPhrases:
    """What classes are called, and the templates these names are put into.

    Classes that are the same in words, as `Traffic light` and `traffic_light`, are called by one phrase: boxes of
    either are what it names. A phrase is drawn for each *called*, in the order in which they first occur; where no two
    classes are the same in words, these are the classes.

    Attributes:
        called: (C,) int64, which of the called each class is.
        names: of each called, its names.

    Args:
        class_names: of the data.
        templates: each with one `{}`, where the name goes.
        aliases: class -> its other names; classes that are the same in words share them.

    Raises:
        ValueError: a template has no `{}`, a class has no name, or an alias is a name of another class too.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        templates: Sequence[str] = TEMPLATES,
        aliases: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if not templates or any(template.count("{}") != 1 for template in templates):
            raise ValueError(f"each template must hold {{}} once, where the name goes, got {list(templates)}")
        self.templates = tuple(templates)
        if unnamed := [number for number, name in enumerate(class_names) if not phrase_of(name)]:
            raise ValueError(f"class {unnamed[0]} has no name: give it one")
        self.called = number_phrases(class_names)
        self.names = [[phrase] for phrase in dict.fromkeys(map(phrase_of, class_names))]
        owners = {phrase_of(name): name for name in class_names}
        for number, name in zip(self.called, class_names, strict=True):
            for alias in map(phrase_of, (aliases or {}).get(name, ())):
                owner = owners.setdefault(alias, name)
                if phrase_of(owner) != phrase_of(name):
                    raise ValueError(
                        f"{alias!r}, an alias of the class {name!r}, is a name of the class {owner!r} too: leave it out"
                    )
                if alias not in self.names[number]:
                    self.names[number].append(alias)

    def draw(self, called: np.ndarray, rng: np.random.Generator) -> list[str]:
        """A phrase for each of (n,) called, name and template at random."""
        return [
            filled(self.templates[rng.integers(len(self.templates))], names[rng.integers(len(names))])
            for names in (self.names[number] for number in called)
        ]

    def of_called(self, categories: torch.Tensor) -> torch.Tensor:
        """(n, C) bool of classes -> (n, G) bool of the called: True where one of its classes is."""
        if len(self.names) == len(self.called):
            return categories
        if categories.shape[1] != len(self.called):
            raise ValueError(f"the data have {categories.shape[1]} classes, and names were given to {len(self.called)}")
        found = torch.zeros(len(categories), len(self.names), dtype=torch.int32, device=categories.device)
        called = torch.from_numpy(self.called).to(categories.device)
        return found.index_add_(1, called, categories.to(torch.int32)) > 0

    def every(self) -> list[str]:
        """All phrases that may be drawn."""
        return [filled(template, name) for names in self.names for name in names for template in self.templates]


def filled(template: str, name: str) -> str:
    """The name in its place; `a` before it becomes `an` before a vowel."""
    if name[0] in "aeiou":
        template = re.sub(r"\ba (?=\{\})", "an ", template)
    return template.replace("{}", name)


def word_tokenizer(phrases: Sequence[str], longest: int = 32) -> PreTrainedTokenizerBase:
    """A tokenizer that knows the words of some phrases, and that `AutoTokenizer` loads once it is saved.

    Args:
        phrases: whose words it knows; case makes no difference.
        longest: most tokens of a phrase, with those of start and end.
    """
    # of a word: letters and digits, or marks
    split = pre_tokenizers.Whitespace()
    words = sorted({word for phrase in phrases for word, _ in split.pre_tokenize_str(phrase.lower())})
    vocabulary = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = split
    ends = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        model_max_length=longest, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
