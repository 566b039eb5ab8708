"""Makes what lies beside this file importable in the folders below, one of which may be run alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
