"""A model whose weights are shared out among processes (FSDP2): what the training loop must do beside `accelerate`.

The parameters of `HyperbolicCLIPVisionModel` itself, the scalars of its space and the class proxies, stay whole in
every process: FSDP2 takes no parameter without dimensions, and the loss uses them outside the forward pass, where
shards would not be joined.
"""

import copy

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType, parse_flag_from_env
from torch import nn

from hf_hyperbolic.modeling_hyperbolic_clip import HyperbolicCLIPVisionModel


class Sharding:
    """Does nothing but where `accelerate` was told to shard. Made before the model is prepared.

    Args:
        accelerator: of the run.
        model: that is trained, not yet prepared.

    Raises:
        ValueError: the configuration asks for FSDP 1, or for weights that are loaded in one process alone.
    """

    def __init__(self, accelerator: Accelerator, model: HyperbolicCLIPVisionModel) -> None:
        self._accelerator, self._model = accelerator, model
        self._template: HyperbolicCLIPVisionModel | None = None
        self.active = accelerator.distributed_type == DistributedType.FSDP
        if not self.active:
            if parse_flag_from_env("ACCELERATE_USE_FSDP"):
                accelerator.print(
                    "warning: FSDP was asked for, which accelerate has on accelerators alone: not sharded"
                )
            return
        plugin = accelerator.state.fsdp_plugin
        if plugin.fsdp_version != 2:
            raise ValueError("FSDP 1 is not supported: set fsdp_version: 2, as in training/launch/fsdp2.yaml")
        if plugin.cpu_ram_efficient_loading:
            raise ValueError(
                "set fsdp_cpu_ram_efficient_loading: false, as in training/launch/fsdp2.yaml: every process must "
                "have the parameters that are not sharded"
            )
        # accelerate takes modules here, and uses their parameters alone
        plugin.ignored_modules = [nn.ParameterList(model.parameters(recurse=False))]
        if plugin.transformer_cls_names_to_wrap is None:
            plugin.transformer_cls_names_to_wrap = blocks(model)
        # weights stay in float32, and autocast has the say, as without sharding: FSDP2 would give bfloat16 embeddings
        plugin.mixed_precision_policy = None
        if accelerator.is_main_process:
            self._template = copy.deepcopy(model)

    @torch.no_grad()
    def average_gradients(self) -> None:
        """Means over processes of the gradients that are not sharded, after a backward pass; all processes call it."""
        if not self.active:
            return
        for parameter in self._model.parameters(recurse=False):
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)
                parameter.grad /= self._accelerator.num_processes

    def whole(self, prepared: nn.Module) -> HyperbolicCLIPVisionModel:
        """The model with all its weights, to be validated or saved by the main process; all processes call it.

        Where it is sharded that is a copy, which the main process has beside its shard.
        """
        if not self.active:
            return self._accelerator.unwrap_model(prepared)
        weights = self._accelerator.get_state_dict(prepared)
        if self._template is None:
            return self._model
        self._template.load_state_dict(weights)
        self._template.to(self._accelerator.device)
        return self._template


def blocks(model: nn.Module) -> list[str]:
    """Names of the classes of a model's blocks, each of which is gathered as one.

    A transformers model names those of its whole family, of which a vision tower has some; its patch embedding is left
    to `accelerate`, which makes it a group of its own.
    """
    named = set(getattr(model, "_no_split_modules", None) or ())
    present = {type(module).__name__ for module in model.modules()}
    return sorted(name for name in named & present if not name.endswith("Embeddings"))
