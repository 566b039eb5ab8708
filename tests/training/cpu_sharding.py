"""Lets accelerate shard (FSDP2) on a CPU, over gloo, though it offers that for accelerators alone.

All that is done is to tell it so: sharding, gathering, clipping and checkpoints are its own and torch's.
"""

from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin


def shard(accelerator: Accelerator) -> Accelerator:
    """The same, which from now on shards as training/launch/fsdp2.yaml asks for."""
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        cpu_ram_efficient_loading=False,
        state_dict_type="FULL_STATE_DICT",
    )
    for state in (AcceleratorState, PartialState):
        state._shared_state["distributed_type"] = DistributedType.FSDP
    AcceleratorState._shared_state["fsdp_plugin"] = plugin
    assert accelerator.is_fsdp2
    return accelerator
