"""The figures that a run watches, and the one by which it keeps its best model."""

import numpy as np
import torch
from torch import Tensor

from hf_hyperbolic.evaluation import EvaluationSettings, evaluate_embeddings
from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.embed import embed_nodes
from hf_hyperbolic.training.head_on_features import embed_all_features
from hf_hyperbolic.training.measures import ranking_measures
from hf_hyperbolic.training.sources import Split


class Validation:
    """Embeds the first images of the validation split and scores retrieval in both directions.

    Calling it with a model gives `val_recall@50%` (parent -> child), `val_top_10` (child -> parent),
    `val_own_scene@5`, `val_auc` (entailment against random pairs), and `val_score`: the mean over the first three of
    the share of the way from chance to the ceiling. `val_radius_scene`, `val_radius_object` and `val_radius_part` are
    mean distances to the origin at levels 0, 1, and 2 and below, where there are nodes.
    """

    def __init__(
        self,
        split: Split,
        args: TrainArguments,
        mean: list[float],
        std: list[float],
        cache_bytes: int,
        features: Tensor | None = None,
    ) -> None:
        self.reader, self.hierarchy = split.images(cache_bytes), split.hierarchy
        self.args, self.mean, self.std = args, mean, std
        self.features = features  # of all nodes, by a backbone that is frozen
        self.embeds: np.ndarray | None = None  # of all nodes, by the model that was last looked at

    def embed(self, model: HyperbolicCLIPVisionModel) -> np.ndarray:
        """(N, D) embeddings of all nodes."""
        if self.features is not None:
            return embed_all_features(model, self.features)
        return embed_nodes(
            model, self.reader, self.hierarchy, np.arange(self.hierarchy.num_nodes), self.args.image_size,
            self.mean, self.std, self.args.context, self.args.crop_mode,
        )  # fmt: skip

    def __call__(self, model: HyperbolicCLIPVisionModel) -> dict[str, float]:
        self.embeds = embeds = self.embed(model)
        by = ranking_measures(self.args)
        found = evaluate_embeddings(
            embeds,
            self.hierarchy,
            model.curvature.item(),
            measures=sorted(set(by.values())),
            settings=EvaluationSettings(ks=(0.5,), top_ks=(10,), max_pairs=5000, resamples=10),
        )
        watched = {
            "val_recall@50%": found["parent_to_child"][by["children"]]["recall@50%"],
            "val_top_10": found["child_to_parent"][by["parents"]]["top_10"],
            "val_own_scene@5": found["own_scene"][by["parents"]]["recall@5"],
        }
        figures = {name: figure["value"] for name, figure in watched.items()}
        figures["val_auc"] = found["entailment"][by["pairs"]]["auc_random"]["value"]
        # with fewer images than k every ranking is as good as every other
        telling = [found for found in watched.values() if found["ceiling"] > found["chance"]]
        gains = [(found["value"] - found["chance"]) / (found["ceiling"] - found["chance"]) for found in telling]
        figures["val_score"] = float(np.mean(gains)) if gains else 0.0
        return {**figures, **self._radii(model, embeds)}

    def _radii(self, model: HyperbolicCLIPVisionModel, embeds: np.ndarray) -> dict[str, float]:
        radii = model.radii(torch.from_numpy(embeds).to(model.log_temperature.device)).detach().cpu().numpy()
        level = np.where(self.hierarchy.active(), self.hierarchy.level.clip(max=2), -1)
        names = ("scene", "object", "part")
        present = [number for number in range(3) if (level == number).any()]
        return {f"val_radius_{names[number]}": float(radii[level == number].mean()) for number in present}
