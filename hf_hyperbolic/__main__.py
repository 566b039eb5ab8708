"""`python -m hf_hyperbolic` is `hf-hyperbolic`."""

import sys

from hf_hyperbolic.cli.main import main

sys.exit(main())
