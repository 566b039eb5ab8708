"""What the classes of a data set are called, in words, and a tokenizer of these words alone."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

# as phrases are asked for
TEMPLATES = ("{}", "a {}", "the {}", "a picture of a {}")
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def phrase_of(class_name: str) -> str:
    """A class name as words: `traffic_light` and `Traffic light` alike are `traffic light`."""
    return re.sub(r"[_\s]+", " ", class_name).strip().lower()


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
    """The names of each class and the templates they are put into.

    Args:
        class_names: of the data.
        templates: each with one `{}`, where the name goes.
        aliases: class -> its other names.

    Raises:
        ValueError: a template has no `{}`, or two classes share a name.
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
        self.names = [[phrase_of(name), *map(phrase_of, (aliases or {}).get(name, ()))] for name in class_names]
        owners: dict[str, int] = {}
        for number, names in enumerate(self.names):
            for name in names:
                if not name:
                    raise ValueError(f"class {number} has no name: give it one")
                if owners.setdefault(name, number) != number:
                    raise ValueError(
                        f"{name!r} is a name of the classes {class_names[owners[name]]!r} and "
                        f"{class_names[number]!r}: each needs a name of its own"
                    )

    def draw(self, classes: np.ndarray, rng: np.random.Generator) -> list[str]:
        """A phrase for each of (n,) classes, name and template at random."""
        return [
            filled(self.templates[rng.integers(len(self.templates))], names[rng.integers(len(names))])
            for names in (self.names[number] for number in classes)
        ]

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
