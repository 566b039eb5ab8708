"""Masks for scores that have no direction."""

from hf_hyperbolic.losses.info_nce import PairMasks


def undirected(masks: PairMasks) -> PairMasks:
    """The relations for a score that is the same in both directions.

    The reverse of a positive pair is then the same number as the positive, and must not be a negative: it is ignored.

    Args:
        masks: relations, row the parent.
    """
    related = masks.own | masks.cross
    return PairMasks(masks.own, masks.cross, masks.ignored | (related.T & ~related))
