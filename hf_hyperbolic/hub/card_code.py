"""What a card says in code and of code: snippets by the model's own measures, and the files that travel."""

import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from hf_hyperbolic.data.files import sha256
from hf_hyperbolic.retrieval.measures import SIMILARITY_SHARE

_COSINES = "torch.nn.functional.cosine_similarity(wholes[:, None], parts[None], dim=-1)"


def _combined(angle: str) -> str:
    return f"(\n        {angle}.cos()\n        + {SIMILARITY_SHARE:g} * {_COSINES}\n    )"


# measure -> scores of (n) wholes and (m) parts, larger is better; {c} is the curvature
_EXPRESSIONS = {
    "beta": "torch.pi - lorentz.pairwise_exterior_angle(wholes, parts, {c})",
    "alpha": "lorentz.pairwise_exterior_angle(parts, wholes, {c}).T",
    "combined": _combined("lorentz.pairwise_exterior_angle(wholes, parts, {c})"),
    "euclidean_combined": _combined("euclidean.pairwise_exterior_angle(wholes, parts)"),
    "euclidean_beta": "torch.pi - euclidean.pairwise_exterior_angle(wholes, parts)",
    "euclidean_alpha": "euclidean.pairwise_exterior_angle(parts, wholes).T",
    "distance": "-lorentz.pairwise_distance(wholes, parts, {c})",
    "cosine": _COSINES,
}
_MEANINGS = {
    "beta": "angles at the wholes, in radians: pi where a part lies straight behind its whole",
    "alpha": "angles at the parts, in radians: pi where a part lies straight behind its whole",
    "combined": f"cosines of the angle at the wholes, with {SIMILARITY_SHARE:g} times the similarity: "
    f"{1 + SIMILARITY_SHARE:g} for a part straight behind its whole",
    "distance": "distances with the sign turned: 0 is the nearest",
    "cosine": "cosines: 1 for the same direction",
}


def scoring_functions(measures: dict[str, str]) -> str:
    """Functions of (n, D) wholes and (m, D) parts, one a measure; the names are those of `function_of`.

    Args:
        measures: what the card needs -> measure.
    """
    functions = []
    for measure in dict.fromkeys(measures.values()):
        meaning = _MEANINGS[measure.removeprefix("euclidean_")]
        body = _EXPRESSIONS[measure].format(c="model.curvature.item()")
        functions.append(
            f'def {function_of(measure)}(wholes, parts):\n    """(n, m) {meaning}."""\n    return {body}\n'
        )
    return "\n\n".join(functions)


def function_of(measure: str) -> str:
    """The name of the function that a snippet scores by."""
    return f"by_{measure.removeprefix('euclidean_')}"


def modules_of(measures: Iterable[str]) -> list[str]:
    """Those of the travelling files that `scoring_functions` calls."""
    text = " ".join(_EXPRESSIONS[measure] for measure in measures)
    return [name for name in ("euclidean", "lorentz") if f"{name}." in text]


def code_table(files: Sequence[Path]) -> list[list[str]]:
    """A row for each Python file that travels: name, lines, SHA-256."""
    return [
        [f"`{file.name}`", f"{len(file.read_text(encoding='utf-8').splitlines()):,}", f"`{sha256(file)}`"]
        for file in files
    ]


def imported_packages(files: Sequence[Path]) -> list[str]:
    """The packages beyond the standard library that Python files import, in alphabetical order.

    Raises:
        ValueError: a file is not Python.
    """
    found = set()
    for file in files:
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except SyntaxError as error:
            raise ValueError(f"{file} is not Python: {error}") from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return sorted(found - sys.stdlib_module_names)
