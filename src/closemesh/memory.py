"""How much memory the process has used at most."""

from __future__ import annotations

import sys


def peak_megabytes() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # macOS counts bytes, Linux KiB.


def reset_gpu_peak() -> None:
    """Begin a new measurement for gpu_peak_megabytes."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def gpu_peak_megabytes() -> float | None:
    """Most GPU memory allocated since reset_gpu_peak, in MiB; None without a CUDA device."""
    import torch

    return torch.cuda.max_memory_allocated() / (1 << 20) if torch.cuda.is_available() else None
