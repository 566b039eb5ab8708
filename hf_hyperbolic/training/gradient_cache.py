"""Gradient caching: a batch is learnt from as one, though its crops pass through the model in parts.

A contrastive loss sees every pair of a batch, so gradients of parts do not add up to that of the whole: with smaller
batches there are fewer negatives. But the loss needs the embeddings alone. They are computed part by part without a
graph; the loss gives its gradient with respect to each of them; and each part is embedded once more, with the same
dropout, to carry its share of that gradient on to the weights (Gao et al. 2021, "Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup"). Activations of one part are held at a time, and every crop
passes forward twice.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from hf_hyperbolic.training.freezing import always_in_evaluation


class GradientCache:
    """`embed`, a loss on what it gives, then `backward`: in the place of a forward pass and `accelerator.backward`.

    With several processes each has its own share of the batch, in as many parts as it needs: gradients are exchanged
    once, in the backward pass of the last. Where weights are sharded all have as many parts as the one that needs most,
    and `embed` must take an empty one.

    Batch statistics (`batch_norms` finds them) are those of a part, in both passes: the gradient is then exact for a
    model that normalises each part by itself. Running statistics move once for each part, in the first pass.

    Args:
        embed: (b, ...) inputs -> (b, D) embeddings, by `prepared`.
        prepared: the model, as `accelerator.prepare` gave it; or any other module where there is one process.
        accelerator: whose precision and scaling of gradients are used.
        micro_batch_size: inputs that are embedded at once, at least 1.

    Raises:
        ValueError: `micro_batch_size` is less than 1, or 1 for a model with batch statistics.
    """

    def __init__(
        self,
        embed: Callable[[Tensor], Tensor],
        prepared: torch.nn.Module,
        accelerator: Accelerator,
        micro_batch_size: int,
    ) -> None:
        if micro_batch_size < 1:
            raise ValueError(f"micro_batch_size must be at least 1, got {micro_batch_size}")
        self._norms = batch_norms(prepared)
        if self._norms and micro_batch_size == 1:
            raise ValueError("batch statistics of a single crop do not exist: --micro_batch_size must be at least 2")
        self._embed, self._prepared, self._accelerator = embed, prepared, accelerator
        self._size = micro_batch_size
        self._parts: list[_Part] = []
        self._embeds: Tensor | None = None

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, ...) inputs -> (n, D) embeddings without a graph, a leaf for the loss to be differentiated by."""
        # parts of nearly one size: a last part of one crop would have no batch statistics. An empty batch is one part,
        # so that every process takes part in the exchange of gradients
        chunks = inputs.tensor_split(self._agreed(max(1, -(-len(inputs) // self._size))))
        self._parts, found = [], []
        # autocast keeps the weights it has cast as long as it lasts, those of a pass without graph would have none in
        # the next: each pass has an autocast of its own
        with torch.no_grad(), self._accelerator.autocast():
            for chunk in chunks:
                self._parts.append(_Part(chunk, RandomState.now(chunk.device)))
                found.append(self._embed(chunk))
        self._embeds = torch.cat(found).requires_grad_()
        return self._embeds

    def _agreed(self, parts: int) -> int:
        # where weights are sharded every pass gathers them from all processes: there must be as many of each
        if self._accelerator.distributed_type != DistributedType.FSDP:
            return parts
        most = torch.tensor([parts], device=self._accelerator.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return int(most)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a 0-d loss on the last `embed`'s embeddings to the parameters' `grad`.

        Parameters that the loss uses beside the embeddings, as curvature and temperature, get theirs too.

        Raises:
            RuntimeError: nothing was embedded since the last call.
        """
        if self._embeds is None:
            raise RuntimeError("there are no embeddings to carry the gradient on from: call embed first")
        used = [parameter for parameter in self._prepared.parameters() if parameter.requires_grad]
        of_embeds, *of_parameters = torch.autograd.grad(loss, [self._embeds, *used], allow_unused=True)
        if of_embeds is None:
            raise RuntimeError("the loss does not depend on the embeddings")
        gradients = of_embeds.split([len(part.inputs) for part in self._parts])
        for place, (part, gradient) in enumerate(zip(self._parts, gradients, strict=True), 1):
            last = place == len(self._parts)
            exchange = nullcontext() if last else self._accelerator.no_sync(self._prepared)
            with exchange, part.state.replayed(), kept_statistics(self._norms):
                with self._accelerator.autocast():
                    embeds = self._embed(part.inputs)
                # a sum whose gradient is the loss's: by the chain rule for this part, and for what the loss itself uses
                share = (embeds * gradient).sum()
                if last:
                    for parameter, own in zip(used, of_parameters, strict=True):
                        if own is not None:
                            share = share + (parameter * own).sum()
                self._accelerator.backward(share)
        self._parts, self._embeds = [], None


@dataclass(frozen=True)
class RandomState:
    """Of the processor's generator, and of that of a device beside it."""

    device: torch.device
    states: list[Tensor]

    @classmethod
    def now(cls, device: torch.device) -> "RandomState":
        states = [torch.get_rng_state()]
        if device.type != "cpu":
            states.append(torch.get_device_module(device).get_rng_state(*_which(device)))
        return cls(device, states)

    def restore(self) -> None:
        """Makes the generators draw once more what they drew from here on."""
        torch.set_rng_state(self.states[0])
        for state in self.states[1:]:
            torch.get_device_module(self.device).set_rng_state(state, *_which(self.device))

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Within, what was drawn from here on is drawn once more; afterwards generators go on where they stood."""
        present = RandomState.now(self.device)
        self.restore()
        try:
            yield
        finally:
            present.restore()


def _which(device: torch.device) -> list[torch.device]:
    return [] if device.type == "mps" else [device]  # of which there is one


@dataclass(frozen=True)
class _Part:
    inputs: Tensor
    state: RandomState


def batch_norms(model: torch.nn.Module) -> list[_BatchNorm]:
    """The layers whose output for a crop depends on the other crops of its batch while the model trains.

    Those that are frozen (`training.freezing`) are not among them, but where they have no running statistics.
    """
    frozen = always_in_evaluation(model)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm not in frozen or norm.running_mean is None]


@contextmanager
def kept_statistics(norms: list[_BatchNorm]) -> Iterator[None]:
    """Layers in training normalise by the batch as ever, but their running statistics stay as they are."""
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        if norm.training:
            norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracked
