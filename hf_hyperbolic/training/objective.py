"""The loss that a run's settings ask for."""

from torch import Tensor

from hf_hyperbolic.losses import PairMasks, angle_loss, cosine_loss
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments


def objective(
    model: HyperbolicCLIPVisionModel, embeds: Tensor, masks: PairMasks, args: TrainArguments
) -> tuple[Tensor, dict[str, float]]:
    """The 0-d loss of a batch, and its parts as numbers to be logged.

    With `loss="angle"` and a `similarity_weight`, cosine contrast on the same pairs stands beside the angle loss:
    angles order wholes and parts, but alone they find a box's own scene less often than similarity does.
    """
    if args.loss == "cosine":
        found = cosine_loss(embeds, masks, model.temperature, args.similarity_own_weight)
    else:
        found = angle_loss(embeds, masks, model.curvature, model.temperature, args.geometry, args.own_weight)
    loss = found.loss
    parts = {
        "loss_parent_to_child": found.parent_to_child.item(),
        "loss_child_to_parent": found.child_to_parent.item(),
    }
    if args.loss == "angle" and args.similarity_weight:
        similarity = cosine_loss(embeds, masks, args.similarity_temperature, args.similarity_own_weight).loss
        loss = loss + args.similarity_weight * similarity
        parts["loss_similarity"] = similarity.item()
    return loss, {"loss": loss.item(), **parts}
