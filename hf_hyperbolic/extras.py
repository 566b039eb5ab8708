"""Packages that a part of the library needs and the rest does not: the extras of pyproject.toml."""

import importlib
from types import ModuleType


def need(module: str, extra: str) -> ModuleType:
    """A module, or an ImportError that names what to install.

    Args:
        module: to import.
        extra: of this package, that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f'{package} is not installed: pip install "hf-hyperbolic[{extra}]" ({error})') from error
