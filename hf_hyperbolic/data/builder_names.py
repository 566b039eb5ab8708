"""The names under which `datasets.load_dataset` finds the builders."""

import logging

_NAMES = ("hier_coco", "hier_lvis", "hier_open_images", "hier_voc")
# part of the path in the `datasets` cache: raise it when the same annotations give other rows
_REVISION = "1"


def register_names() -> bool:
    """Adds the builders to those `load_dataset` knows by name; says whether it could.

    The table of names is no public interface of `datasets`. Where a version has none, or another kind, the names are
    not found and the classes still work.
    """
    try:
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

        for name in _NAMES:
            _PACKAGED_DATASETS_MODULES[name] = (f"hf_hyperbolic.data.builders.{name}", _REVISION)
    except Exception as error:  # whatever a future version does, importing the builders must go on
        logging.getLogger(__name__).warning("load_dataset will not know %s by name: %s", ", ".join(_NAMES), error)
        return False
    return True
