"""How much memory the process has used at most."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_megabytes() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: getrusage would begin with the peak of the process that started this one.
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / (1 << 10) for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS counts bytes.


def reset_gpu_peak() -> None:
    """Begin a new measurement for gpu_peak_megabytes."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def gpu_peak_megabytes() -> float | None:
    """Most GPU memory allocated since reset_gpu_peak, in MiB; None without a CUDA device."""
    import torch

    return torch.cuda.max_memory_allocated() / (1 << 20) if torch.cuda.is_available() else None
