"""The loss that a run's settings ask for."""

from torch import Tensor

from hf_hyperbolic.losses import (
    LossOutput,
    Masks,
    angle_loss,
    caption_loss,
    cone_loss,
    cosine_loss,
    hcl_loss,
    inverse_prevalence,
    name_loss,
    proxy_loss,
    radial_order_loss,
    single_positive_angle_loss,
    uniformity_loss,
)
from hf_hyperbolic.losses.angle import UpwardAngle
from hf_hyperbolic.losses.entailment_cone import HYCOCLIP_APERTURE_SCALE, HYCOCLIP_ENTAILMENT_WEIGHT
from hf_hyperbolic.losses.info_nce import Positives
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments


def objective(
    model: HyperbolicCLIPVisionModel,
    embeds: Tensor,
    masks: Masks,
    args: TrainArguments,
    categories: Tensor | None = None,
    scenes: Tensor | None = None,
    names: Tensor | None = None,
    named: Tensor | None = None,
    captions: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The 0-d loss of a batch, and its parts to be logged: 0-d tensors without a graph, on the device of the loss.

    `categories` (N, C) and `scenes` (N,), both bool, are needed with a `proxy_weight` (see `proxy_loss`) or a
    `text_weight`, and with the latter `names`, (T, D) embeddings of what the classes are called (see `name_loss`), and
    `named` (N, T), bool, what each node is called, or the scene holds, where that is not `categories`.
    `captions` are embeddings of captions, of scenes that have one, and which are of which (see `caption_loss`).

    Beside the loss stand class proxies, with a `proxy_weight`; names of classes, with a `text_weight`; cosine contrast
    on the same pairs, with `loss="angle"` and a `similarity_weight`; and the terms that a study adds.
    """
    if args.relatives == "negatives":
        masks = masks.block().relatives_as_negatives()
    importance = None
    if args.class_balance:
        if categories is None or scenes is None:
            raise ValueError("--class_balance needs categories and scenes")
        importance = inverse_prevalence(categories, scenes)
    found = _main_loss(model, embeds, masks, args, importance)
    # one direction alone is the paper's ablation of the bidirectional loss
    loss = found.loss if args.directions == "both" else getattr(found, args.directions)
    parts = {
        "loss_parent_to_child": found.parent_to_child.detach(),
        "loss_child_to_parent": found.child_to_parent.detach(),
    }
    if args.loss == "angle" and args.similarity_weight:
        similarity = cosine_loss(
            embeds,
            masks,
            args.similarity_temperature,
            args.similarity_own_weight,
            _positives(args),
            args.loss_tile,
            importance,
        ).loss
        loss = loss + args.similarity_weight * similarity
        parts["loss_similarity"] = similarity.detach()
    if args.proxy_weight:
        if categories is None or scenes is None:
            raise ValueError("class proxies need categories and scenes")
        if categories.shape[1] != model.config.num_proxies:
            raise ValueError(
                f"the training data have {categories.shape[1]} classes and the model has {model.config.num_proxies} "
                "class proxies, those of the validation split where training data are streamed: both splits must list "
                "the same classes, or train with --proxy_weight 0"
            )
        proxies = proxy_loss(embeds, model.proxy_embeds(), categories, scenes, args.proxy_temperature)
        loss = loss + args.proxy_weight * proxies
        parts["loss_proxies"] = proxies.detach()
    if args.text_weight:
        if names is None or categories is None or scenes is None:
            raise ValueError("a text_weight needs embeddings of the classes' names, categories and scenes")
        categories = categories if named is None else named
        called = name_loss(
            names, embeds, categories, scenes, model.curvature, model.temperature, args.geometry,
            args.similarity_weight, args.similarity_temperature,
        ).loss  # fmt: skip
        loss = loss + args.text_weight * called
        parts["loss_names"] = called.detach()
    if args.text_weight and captions is not None:
        said = caption_loss(
            *captions, model.curvature, model.temperature, args.geometry, args.similarity_weight,
            args.similarity_temperature,
        ).loss  # fmt: skip
        loss = loss + args.text_weight * said
        parts["loss_captions"] = said.detach()
    if args.radial_weight:
        order = radial_order_loss(model.radii(embeds), masks.block().own)
        loss = loss + args.radial_weight * order
        parts["loss_radial"] = order.detach()
    if args.uniformity_weight:
        spread = uniformity_loss(embeds)
        loss = loss + args.uniformity_weight * spread
        parts["loss_uniformity"] = spread.detach()
    return loss, {"loss": loss.detach(), **parts}


def _main_loss(
    model: HyperbolicCLIPVisionModel, embeds: Tensor, masks: Masks, args: TrainArguments, importance: Tensor | None
) -> LossOutput:
    curvature, temperature, own = model.curvature, model.temperature, args.own_weight
    match args.loss:
        case "angle":
            upward: UpwardAngle = "beta" if args.upward_angle == "beta" else "alpha"
            return angle_loss(
                embeds, masks, curvature, temperature, args.geometry, own, _positives(args), upward, args.loss_tile,
                importance,
            )  # fmt: skip
        case "single_positive":
            return single_positive_angle_loss(embeds, masks.block(), curvature, temperature, args.geometry)
        case "cosine":
            return cosine_loss(embeds, masks, temperature, own, _positives(args), args.loss_tile, importance)
        case "hcl":
            return hcl_loss(embeds, masks.block(), curvature, temperature, own_weight=own)
        case "meru":
            return cone_loss(embeds, masks.block(), curvature, temperature, own_weight=own)
        case "hycoclip":
            return cone_loss(
                embeds, masks.block(), curvature, temperature, HYCOCLIP_ENTAILMENT_WEIGHT, HYCOCLIP_APERTURE_SCALE,
                part_is_parent=True, own_weight=own,
            )  # fmt: skip
    raise ValueError(f"unknown loss {args.loss!r}")


def _positives(args: TrainArguments) -> Positives:
    return "inside" if args.positives == "inside" else "outside"
