"""The names under which `datasets.load_dataset` finds the builders."""

import logging
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_NAMES = ("hier_coco", "hier_lvis", "hier_open_images", "hier_voc")
# part of the path in the `datasets` cache: raise it when the same annotations give other rows
_REVISION = "1"
_TABLE_MODULE = "datasets.packaged_modules"


def register_builders() -> None:
    """Makes the builders known to `load_dataset`: now, or, lest it takes importing `datasets`, when that is imported.

    Importing `datasets` takes half as long as importing torch and transformers, and most who import this package never
    do it.
    """
    if _TABLE_MODULE in sys.modules:
        add_names()
    elif not any(isinstance(finder, _OnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OnImport())


def add_names() -> bool:
    """Adds the builders to those `load_dataset` knows by name; says whether it could.

    The table of names is no public interface of `datasets`. Where a version has none, or another kind, the names are
    not found and the classes still work.
    """
    try:
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

        for name in _NAMES:
            _PACKAGED_DATASETS_MODULES[name] = (f"hf_hyperbolic.data.builders.{name}", _REVISION)
    except Exception as error:  # whatever a future version does, importing this package must go on
        logging.getLogger(__name__).warning("load_dataset will not know %s by name: %s", ", ".join(_NAMES), error)
        return False
    return True


class _OnImport(MetaPathFinder):
    """Lets the module with the table of names be imported as always, and adds the builders to it; then goes away."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != _TABLE_MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                add_names()

            # of this one loader, which loads this one module
            setattr(spec.loader, "exec_module", execute_and_add)  # noqa: B010 (mypy knows methods as constant)
        return spec
