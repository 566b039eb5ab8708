import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from hf_hyperbolic import data


def test_all_names_are_there():
    assert sorted(data.__all__) == data.__all__ == sorted(data._MODULE_OF)
    for name in data.__all__:
        assert getattr(data, name).__name__ == name
        assert name in dir(data)
        # a module of that name would take its place once it is imported
        assert find_spec(f"hf_hyperbolic.data.{name}") is None
    with pytest.raises(AttributeError, match="has no attribute 'read_nothing'"):
        data.read_nothing  # noqa: B018


def test_importing_it_imports_nothing_slow():
    # as the command line, which imports no model of its own accord
    script = (
        "import sys; sys.argv[0] = 'hf-hyperbolic'\n"
        "import hf_hyperbolic.data\n"
        "print([m for m in ('numpy', 'PIL', 'pyarrow', 'datasets', 'torch') if m in sys.modules])\n"
        "hf_hyperbolic.data.read_coco\n"
        "print([m for m in ('numpy', 'PIL', 'pyarrow', 'datasets', 'torch') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.splitlines() == ["[]", "['numpy', 'PIL']"], done.stderr
