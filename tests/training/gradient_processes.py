"""One training step of a fixed batch, alone or as one of several processes: its loss and all gradients.

Started by test_gradients_of_processes.py: gradient_processes.py FOLDER PROCESSES [sharded]
"""

import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from cpu_sharding import shard
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers import CLIPTextConfig, CLIPVisionConfig

from hf_hyperbolic import HyperbolicCLIPModel, HyperbolicCLIPVisionConfig, HyperbolicCLIPVisionModel
from hf_hyperbolic.data.captions import Captions
from hf_hyperbolic.data.relations import SparseRelations
from hf_hyperbolic.losses import PairMasks, TiledMasks
from hf_hyperbolic.training.arguments import TrainArguments
from hf_hyperbolic.training.backbones import freeze_unused
from hf_hyperbolic.training.captions import SceneCaptions
from hf_hyperbolic.training.embed_crops import embed_crops, embed_crops_and_names
from hf_hyperbolic.training.gather import gather_embeddings, gather_nodes
from hf_hyperbolic.training.gradient_cache import GradientCache
from hf_hyperbolic.training.objective import objective
from hf_hyperbolic.training.processes import end_processes
from hf_hyperbolic.training.sharding import Sharding

COUNT, CLASSES = 11, 3
# crops of each of two processes: alike but for one, uneven, and none at all
SHARES = ((6, 5), (8, 3), (11, 0))
# crops at a time, rows of the loss at a time
STEPS = ((0, 0), (2, 0), (4, 3))


def make_model(dropout: float = 0.0) -> HyperbolicCLIPVisionModel:
    """A small ViT in float64, with class proxies; its scalars stand where they have a gradient."""
    backbone = CLIPVisionConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8,
        attention_dropout=dropout,
    )  # fmt: skip
    torch.manual_seed(0)
    config = HyperbolicCLIPVisionConfig(
        backbone_config=backbone, projection_dim=6, num_proxies=CLASSES, temperature_init=0.2, curvature_init=0.7
    )
    model = HyperbolicCLIPVisionModel(config).double()
    freeze_unused(model, 16)
    return model.train()


def make_model_with_names() -> HyperbolicCLIPModel:
    """The same with a text tower."""
    text = CLIPTextConfig(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=4, bos_token_id=10, eos_token_id=11, pad_token_id=0,
    )  # fmt: skip
    model = HyperbolicCLIPModel.from_image_model(make_model(), text).double()
    freeze_unused(model, 16)
    return model.train()


def tokens() -> dict[str, torch.Tensor]:
    """Of the three classes' names."""
    ids = torch.tensor([[10, 1, 11, 0], [10, 2, 3, 11], [10, 4, 11, 0]])
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def captions() -> tuple[SceneCaptions, dict[str, torch.Tensor]]:
    """Captions of the images of nodes 0, 4 and 10, which two processes share, and the tokens of each."""
    ids = torch.tensor([[10, 5, 11, 0], [10, 6, 7, 11], [10, 8, 11, 0], [10, 9, 1, 11]])
    tokens = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    return SceneCaptions(Captions(tuple("abcd"), np.array([0, 0, 4, 10]), COUNT), seed=0), tokens


def relations() -> SparseRelations:
    """Two scenes with boxes, 1 and 2 within one another, and two boxes of further images."""
    own = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [4, 5], [4, 6], [4, 7], [4, 8]])
    labels = torch.tensor([-1, 0, 1, 2, -1, 0, 0, 1, 2, 1, 0])
    holds = torch.zeros(COUNT, CLASSES, dtype=torch.bool)
    holds[own[:, 0], labels[own[:, 1]]] = True
    return SparseRelations(
        own=own,
        duplicates=torch.tensor([[5, 6], [6, 5]]),
        images=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3]),
        labels=labels,
        holds=holds,
        cross_parents="scene",
    )


def crops() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (COUNT, 3, 16, 16), dtype=torch.uint8, generator=generator)


def embed(model: torch.nn.Module, crops: torch.Tensor) -> torch.Tensor:
    return embed_crops(model, crops, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))


def step(
    prepared: torch.nn.Module,
    accelerator: Accelerator,
    shares: tuple[int, ...] = (COUNT,),
    micro_batch_size: int = 0,
    loss_tile: int = 0,
    sharding: Sharding | None = None,
) -> dict[str, torch.Tensor]:
    """Loss and gradients by name, as training/train.py comes to them; every gradient must be there."""
    model = accelerator.unwrap_model(prepared)
    model.zero_grad()
    has_text = isinstance(model, HyperbolicCLIPModel)
    args = TrainArguments(loss_tile=loss_tile, similarity_weight=0.5, text_weight=0.5 if has_text else 0.0)

    start = sum(shares[: accelerator.process_index])
    mine = torch.arange(start, start + shares[accelerator.process_index])
    nodes, counts = gather_nodes(mine.numpy(), accelerator.device)
    assert nodes.tolist() == list(range(COUNT))
    cache = (
        GradientCache(partial(embed, prepared), prepared, accelerator, micro_batch_size) if micro_batch_size else None
    )
    names = captioned = None
    if has_text:
        spoken, spoken_tokens = captions()
        said = spoken.draw(mine.numpy(), step=0)
        texts = {name: torch.cat([part, spoken_tokens[name][said]]) for name, part in tokens().items()}
        embeds, names = embed_crops_and_names(prepared, crops()[mine], texts, (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))
    else:
        embeds = cache.embed(crops()[mine]) if cache else embed(prepared, crops()[mine])
    embeds = gather_embeddings(embeds, counts)
    if names is not None:
        names, of_captions = names.split([CLASSES, len(said)])
        captioned = spoken.matched(of_captions, said, embeds, nodes)
        assert captioned is not None
        assert len(captioned[0]) == len(captioned[1]) == 3
    related = relations()
    masks = TiledMasks(related) if loss_tile else PairMasks(*related.block())
    loss, _ = objective(model, embeds, masks, args, related.categories, related.is_scene, names, captions=captioned)
    if cache:
        cache.backward(loss)
    else:
        accelerator.backward(loss)
    if sharding is not None:
        sharding.average_gradients()
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is not None for parameter in named.values())
    return {"loss": loss.detach(), **{name: whole(parameter.grad) for name, parameter in named.items()}}


def whole(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient.clone()


def main(folder: Path, processes: int, sharded: bool) -> None:
    patience = InitProcessGroupKwargs(timeout=timedelta(seconds=200))
    accelerator = Accelerator(cpu=True, kwargs_handlers=[patience])
    assert accelerator.num_processes == processes, f"{accelerator.num_processes} process(es), expected {processes}"
    model = make_model()
    if sharded:
        shard(accelerator)
    sharding = Sharding(accelerator, model)
    prepared, _ = accelerator.prepare(model, torch.optim.SGD(model.parameters()))
    split = {name for name, parameter in prepared.named_parameters() if isinstance(parameter, DTensor)}
    own = {name for name, _ in model.named_parameters(recurse=False)}
    assert split == ({name for name, _ in model.named_parameters()} - own if sharded else set())
    for shares in SHARES:
        for micro_batch_size, tile in STEPS:
            found = step(prepared, accelerator, shares, micro_batch_size, tile, sharding)
            name = f"{shares[0]}-{micro_batch_size}-{accelerator.process_index}.safetensors"
            save_file({key: value.contiguous() for key, value in found.items()}, folder / name)
    if not sharded:  # a text tower is not sharded
        with_names = accelerator.prepare(make_model_with_names())
        for shares in SHARES:
            found = step(with_names, accelerator, shares)
            name = f"names-{shares[0]}-{accelerator.process_index}.safetensors"
            save_file({key: value.contiguous() for key, value in found.items()}, folder / name)
    end_processes(accelerator)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["sharded"])
