"""Makes what lies beside this file importable in the folders below, one of which may be run alone."""

import os
import sys
from pathlib import Path

# as many workers as cores: with a pool of threads each they would wait for one another
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).parent))
