"""What the paper claims (arXiv 2411.17490), and what this library sets out to reach, as tests on a comparison."""

from collections.abc import Sequence

from hf_hyperbolic.evaluation.verdicts import Claim, Test
from hf_hyperbolic.training.compared_systems import DEFAULT, INTRA_IMAGE, ONE_DIRECTION, PAPER, PAPER_EUCLIDEAN
from hf_hyperbolic.training.systems import UNTRAINED

RECALL = "parent_to_child/recall@50%"
TRANSPORT = "parent_to_child/ot@50%"
TOP = "child_to_parent/top_10"
OWN_SCENE = "own_scene/recall@5"
LOWER_IS_BETTER = {TRANSPORT}

_TABLES = "arXiv 2411.17490, section 4, retrieval in both directions"
_ABLATION = "arXiv 2411.17490, ablation of the cross-image pairs"
_LOSS = "arXiv 2411.17490, the loss in both directions"
_STRUCTURE = "arXiv 2411.17490, radial structure without a distance term"
_GOAL = "goal of this library"


def _better(first: str, second: str, *figures: str, share: float = 0.0) -> tuple[Test, ...]:
    return tuple(Test(figure, first, second, figure in LOWER_IS_BETTER, share) for figure in figures)


PAPER_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Hyperbolic angles retrieve better than Euclidean angles.",
        _TABLES,
        _better(PAPER, PAPER_EUCLIDEAN, RECALL, TRANSPORT, TOP),
    ),
    Claim(
        "Euclidean angles retrieve better than HCL.",
        _TABLES,
        _better(PAPER_EUCLIDEAN, "HCL", RECALL, TRANSPORT, TOP),
    ),
    Claim(
        "HCL retrieves better than cosine contrast on the same pairs.",
        f"{_TABLES}; its CLIP was not trained on the pairs",
        _better("HCL", "cosine contrast", RECALL, TRANSPORT, TOP),
    ),
    Claim(
        "HCL retrieves better than the untrained start.",
        _TABLES,
        _better("HCL", UNTRAINED, RECALL, TRANSPORT, TOP),
    ),
    Claim(
        "Both directions of the loss do better than one alone.",
        _LOSS,
        tuple(test for one in ONE_DIRECTION for test in _better(PAPER, one, RECALL, TOP)),
    ),
    Claim(
        "Cross-image pairs help precision at middle and high recall.",
        _ABLATION,
        _better(PAPER, INTRA_IMAGE, *(f"precision_recall/{level}" for level in (0.5, 0.75, 0.9))),
    ),
    Claim(
        "Cross-image pairs cost precision at low recall, and a box's own scene.",
        _ABLATION,
        tuple(Test(figure, PAPER, INTRA_IMAGE, lower=True) for figure in ("precision_recall/0.1", OWN_SCENE)),
    ),
    Claim(
        "Parents come to lie nearer the origin than children though no term of the loss asks for it.",
        _STRUCTURE,
        (Test("radial/all", PAPER, 0.5),),
    ),
)


def goals(systems: Sequence[str]) -> tuple[Claim, ...]:
    """What the default recipe is to reach, among the systems of a comparison (the untrained start left out)."""
    others = [system for system in (UNTRAINED, *systems) if system != DEFAULT]
    figures = (RECALL, TRANSPORT, TOP, OWN_SCENE)
    return (
        *(Claim(f"The default recipe does better than: {other}.", _GOAL, _better(DEFAULT, other, *figures))
          for other in others),
        Claim(
            "The default recipe is ahead of the paper's by a tenth of what that lacks to the ceiling.",
            _GOAL,
            _better(DEFAULT, PAPER, *figures, share=0.1),
        ),
    )  # fmt: skip


# systems whose spread over seeds is shown side by side: is a loss of both directions the steadier one?
SPREAD_SYSTEMS = (PAPER, *ONE_DIRECTION)
SPREAD_FIGURES = (RECALL, TOP)
