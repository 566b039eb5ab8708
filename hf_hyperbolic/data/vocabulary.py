"""Which classes a detector looks for in a whole image, and which inside a box of a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Classes = Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Vocabulary:
    """Classes by depth or by the class of the box that is searched.

    Attributes:
        levels: classes at each depth, 0 the whole image; the last holds for all depths below it. None: whatever the
            detector knows, at every depth.
        parts: class -> classes of its parts; where given it decides what is looked for inside a box.
    """

    levels: tuple[tuple[str, ...], ...] | None = None
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def within(self, depth: int, label: str) -> tuple[str, ...] | None:
        """Classes to look for at `depth` >= 1 inside a box of class `label`; none if empty, any if None."""
        if self.parts:
            return self.parts.get(label, ())
        return None if self.levels is None else self.levels[min(depth, len(self.levels) - 1)]

    def whole_image(self) -> tuple[str, ...] | None:
        """Classes to look for in a whole image; any if None."""
        return None if self.levels is None else self.levels[0]

    def names(self) -> tuple[str, ...]:
        """All classes, each once, from whole to part; empty if whatever the detector knows."""
        given = [name for level in self.levels or () for name in level]
        return tuple(dict.fromkeys(given + [name for parts in self.parts.values() for name in parts]))


def read_vocabulary(classes: Classes | None, depth: int) -> Vocabulary:
    """Reads the argument `classes` of `detect_boxes`.

    Args:
        classes: names, looked for at every depth; or one list of names for each depth; or class -> its parts, in which
            case the classes that are no other's part are looked for in the whole image. None: no choice.
        depth: how many depths are searched, the whole image included.

    Raises:
        ValueError: a name is no text or empty, there are none, or the lists do not fit `depth`.
    """
    if classes is None:
        return Vocabulary()
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list of names, got the text {classes!r}: split it first")
    if isinstance(classes, Mapping):
        return _by_whole({name: _names(parts, f"the parts of {name!r}") for name, parts in classes.items()})
    if classes and not any(isinstance(entry, str) for entry in classes):
        levels = tuple(_names(level, f"classes[{number}]") for number, level in enumerate(classes))
        if len(levels) != depth:
            raise ValueError(f"classes has lists for {len(levels)} depths but depth is {depth}: give one for each")
        empty = [number for number, level in enumerate(levels) if not level]
        if empty:
            raise ValueError(f"classes[{empty[0]}] is empty: name what to look for there, or search less deep")
        return Vocabulary(levels)
    names = _names(classes, "classes")
    if not names:
        raise ValueError("classes is empty: name at least one class, or leave it out")
    return Vocabulary((names,))


def _by_whole(parts: dict[str, tuple[str, ...]]) -> Vocabulary:
    wholes = _names(list(parts), "classes")
    of_another = {name for whole, own in parts.items() for name in own if name != whole}
    first = tuple(name for name in wholes if name not in of_another)
    if not first:
        raise ValueError(
            f"classes names no class to look for in the whole image: each of {', '.join(map(repr, wholes)) or 'none'} "
            "is a part of another"
        )
    return Vocabulary((first,), parts)


def _names(names: object, where: str) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ValueError(f"{where} must be a list of names, got {names!r}")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where} must hold names, got {name!r}")
    return tuple(dict.fromkeys(names))
