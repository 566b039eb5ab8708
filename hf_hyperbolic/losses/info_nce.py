"""InfoNCE with several positives a row, in both directions of a hierarchy: what every loss here is made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:  # losses need the three matrices, not the readers behind them
    from hf_hyperbolic.data.relations import Relations

# where the sum over a row's positives stands: the mean of their logarithms, or the logarithm of their sum
Positives = Literal["outside", "inside"]


@dataclass(frozen=True)
class PairMasks:
    """`Relations` of a batch as (N, N) bool tensors on the device of its embeddings, parent as row."""

    own: Tensor
    cross: Tensor
    ignored: Tensor

    @classmethod
    def from_relations(cls, relations: "Relations", device: torch.device | str = "cpu") -> "PairMasks":
        return cls(*(torch.from_numpy(mask).to(device) for mask in (relations.own, relations.cross, relations.ignored)))

    def block(self, rows: slice = slice(None), columns: slice = slice(None)) -> "PairMasks":
        """Relations of a range of rows to a range of columns, (r, c) each."""
        return PairMasks(self.own[rows, columns], self.cross[rows, columns], self.ignored[rows, columns])

    def relatives_as_negatives(self) -> "PairMasks":
        """Nothing is ignored but a node with itself: what is related and no positive becomes a negative.

        It is what a loss does that knows of no relatives, and costs much (`docs/recipe.md`).
        """
        itself = torch.eye(len(self.ignored), dtype=torch.bool, device=self.ignored.device)
        return PairMasks(self.own, self.cross, itself)


@dataclass(frozen=True)
class LossOutput:
    """A loss and its parts, each a 0-d tensor; `loss` is what to call `backward` on."""

    loss: Tensor
    parent_to_child: Tensor
    child_to_parent: Tensor


def multi_positive_info_nce(
    logits: Tensor,
    positives: Tensor,
    candidates: Tensor,
    where: Positives = "outside",
    importance: Tensor | None = None,
) -> Tensor:
    """InfoNCE with several positives a row.

    Outside the logarithm, `- mean_x 1/|P(x)| sum_{y in P(x)} log softmax_z logits[x, z]`, z over the row's candidates:
    every positive is asked for. Inside, `- mean_x log sum_{y in P(x)} softmax_z logits[x, z]`: one of them will do
    (Khosla et al. 2020, equations 2 and 3).

    Args:
        logits: (N, M) scores divided by the temperature.
        positives: (N, M) bool.
        candidates: (N, M) bool, what a row's softmax runs over; must include its positives.
        where: the sum over positives stands.
        importance: (N,) of a square matrix, positive: what a node weighs as a row, and as a positive of a row.

    Returns:
        0-d mean over the rows that have a positive; a zero that still carries gradient if no row has one.
    """
    per_row, rows = row_terms(logits, positives, candidates, where, importance)
    if importance is None:
        return -per_row.sum() / rows.sum().clamp(min=1)
    total = (importance * rows).sum()
    return -(importance * per_row).sum() / total.where(total > 0, 1)


def row_terms(
    logits: Tensor, positives: Tensor, candidates: Tensor, where: Positives, importance: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What `multi_positive_info_nce` averages: (N,) a value for each row, 0 without positives, and which have one."""
    count = positives.sum(1)
    rows = count > 0
    # a row without candidates has no softmax; it is not counted, but its gradient must not be NaN either
    candidates = candidates | ~rows[:, None]
    log_prob = logits - logits.masked_fill(~candidates, float("-inf")).logsumexp(1, keepdim=True)
    if where == "inside":
        # a row without positives would be -inf, and its gradient NaN
        among = positives | ~rows[:, None]
        shares = 0.0 if importance is None else importance.log()
        per_row = (log_prob + shares).masked_fill(~among, float("-inf")).logsumexp(1).masked_fill(~rows, 0.0)
    elif importance is not None:
        total = (positives * importance).sum(1)
        per_row = (log_prob * importance).masked_fill(~positives, 0.0).sum(1) / total.where(rows, 1)
    else:
        per_row = log_prob.masked_fill(~positives, 0.0).sum(1) / count.clamp(min=1)
    return per_row, rows


def check_own_weight(own_weight: float) -> None:
    """
    Raises:
        ValueError: it lies outside [0, 1].
    """
    if not 0 <= own_weight <= 1:
        raise ValueError(f"own_weight must lie in [0, 1], got {own_weight}")


def bidirectional_info_nce(
    parent_to_child: Tensor,
    child_to_parent: Tensor,
    masks: PairMasks,
    own_weight: float = 0.0,
    where: Positives = "outside",
    importance: Tensor | None = None,
) -> LossOutput:
    """Parent -> child with parents as rows plus child -> parent with children as rows.

    Args:
        parent_to_child: (N, N) logits, row the parent.
        child_to_parent: (N, N) logits, row the child.
        masks: relations, row the parent.
        own_weight: in [0, 1]. 0 is the paper's setting as we read it: all positives alike. Otherwise this share of
            the loss looks at the relatives of a node's own image alone, the cross-image relatives being left out of
            its softmax: without it the many positives that a frequent category has in other images drown what is
            particular to an image.
        where: see `multi_positive_info_nce`.
        importance: (N,), see there.
    """
    check_own_weight(own_weight)

    def direction(logits: Tensor, own: Tensor, cross: Tensor, ignored: Tensor) -> Tensor:
        loss = logits.new_zeros(())
        if own_weight < 1:
            loss = loss + (1 - own_weight) * multi_positive_info_nce(logits, own | cross, ~ignored, where, importance)
        if own_weight > 0:
            loss = loss + own_weight * multi_positive_info_nce(logits, own, ~(ignored | cross), where, importance)
        return loss

    down = direction(parent_to_child, masks.own, masks.cross, masks.ignored)
    up = direction(child_to_parent, masks.own.T, masks.cross.T, masks.ignored.T)
    return LossOutput(loss=down + up, parent_to_child=down, child_to_parent=up)
