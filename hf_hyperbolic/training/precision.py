"""Which precision a device is good at."""

import torch


def resolve_precision(mixed_precision: str, cpu: bool) -> str:
    """`"auto"` -> `"bf16"` where the device multiplies it natively, else `"no"`; anything else is kept.

    On a processor without bfloat16 instructions it would be emulated, and slower than float32.
    """
    if mixed_precision != "auto":
        return mixed_precision
    if torch.cuda.is_available() and not cpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bf16" if supported is not None and supported() else "no"
