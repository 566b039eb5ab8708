"""Names of the levels of a hierarchy, from the root outwards."""

LEVEL_NAMES = ("scene", "object", "part", "part of a part", "deeper")
DEEPEST = len(LEVEL_NAMES) - 1


def level_name(level: int) -> str:
    """`"scene"`, `"object"`, `"part"`, `"part of a part"`, and `"deeper"` for all below."""
    return LEVEL_NAMES[min(level, DEEPEST)]
