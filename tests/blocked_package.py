"""The start of a script that must do without the package, as on a machine where it is not installed."""

BLOCK_THE_PACKAGE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "hf_hyperbolic":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Blocker())
try:
    import hf_hyperbolic
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can still be imported: this would show nothing")
"""
