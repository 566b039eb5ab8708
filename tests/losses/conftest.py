import numpy as np
import pytest

from hf_hyperbolic.data.relations import Relations
from hf_hyperbolic.losses import PairMasks


@pytest.fixture
def two_scenes():
    """Nodes 0 and 1 are scenes; 2 and 3 boxes of 0, 3 within 2; 4 a box of 1 of the category of 2."""
    own = np.zeros((5, 5), dtype=bool)
    own[0, 2] = own[0, 3] = own[2, 3] = own[1, 4] = True
    cross = np.zeros((5, 5), dtype=bool)
    cross[0, 4] = cross[1, 2] = True
    return PairMasks.from_relations(Relations(own=own, cross=cross, ignored=np.eye(5, dtype=bool)))
