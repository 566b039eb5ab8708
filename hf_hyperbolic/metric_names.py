"""The name under which `evaluate.load` finds the metric of this package from any folder."""

import functools
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_NAME = "hier_ot"
_FOLDER = Path(__file__).parent / "evaluation" / _NAME
# where `evaluate` turns a name into a file
_LOADING = "evaluate.loading"
_FACTORY = "evaluation_module_factory"


def register_metric() -> None:
    """Lets `evaluate.load("hier_ot")` find the metric; a folder ./hier_ot of the user's goes first, as for any name.

    `evaluate` has no public place for that, so the function that resolves names is wrapped, at once or when `evaluate`
    is imported: importing it here would take longer than all else. Where a version of `evaluate` has no such function
    nothing happens, and the metric still loads by its path.
    """
    loading = sys.modules.get(_LOADING)
    if loading is not None:
        _wrap(loading)
    elif not any(isinstance(finder, _WrapOnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WrapOnImport())


class _WrapOnImport(MetaPathFinder):
    """Finds nothing itself; has `evaluate.loading` wrapped once it was executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LOADING:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            _wrap(module)

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def _wrap(loading: ModuleType) -> None:
    factory = getattr(loading, _FACTORY, None)
    if not callable(factory) or getattr(factory, "knows_hier_ot", False):
        return

    @functools.wraps(factory)
    def with_our_name(path: str, *args: Any, **kwargs: Any) -> Any:
        if path == _NAME and not Path(_NAME, f"{_NAME}.py").is_file():
            path = str(_FOLDER)
        return factory(path, *args, **kwargs)

    with_our_name.knows_hier_ot = True  # type: ignore[attr-defined]
    setattr(loading, _FACTORY, with_our_name)
