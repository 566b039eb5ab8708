"""Commands that start further processes, none of which outlives a test."""

import os
import subprocess


def launched(command: list[str], seconds: float = 400, **environment: str) -> tuple[int, str]:
    """Exit status and output of a launcher; fails where it does not end in time."""
    process = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # on which a launcher ends what it has started
        try:
            printed, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        raise AssertionError(f"still there after {seconds} s:\n{printed}") from None
    return process.returncode, printed
