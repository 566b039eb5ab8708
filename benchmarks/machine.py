"""What a benchmark ran on."""

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, as Linux or Python tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
