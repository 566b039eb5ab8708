"""What a benchmark ran on, and the memory it took."""

import platform
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def processor() -> str:
    """The processor's name, as Linux or Python tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def peak_memory(device: "torch.device | None" = None) -> int:
    """Most bytes held so far: of a CUDA device, what torch allocated there; else what of this process was resident."""
    if device is not None and device.type == "cuda":
        import torch  # not at the top: the memory of those that need no torch is measured as well

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    # on Linux `ru_maxrss` begins at that of the process which started this one
    lines = status.read_text().splitlines() if status.exists() else []
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    if kibibytes:
        return kibibytes[0] * 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)
