"""Device choice, peak memory.

Where tensors live: the argument decides, then $CLOSEMESH_DEVICE, then CUDA when it is there, else the CPU.

How much memory the process has used at most.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from closemesh.core.errors import InputError

if TYPE_CHECKING:
    import torch


def choose_device(name: str | None = None) -> torch.device:
    """The device to work on. Raises InputError when `name` is unknown or not there.

    MPS is used only when it is asked for: the fits need float64 in places, which it lacks.
    """
    import torch

    wanted = name or os.environ.get("CLOSEMESH_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device '{wanted}' is not available here; use --device cpu") from error
    return device


def peak_rss_mb() -> float | None:
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


def peak_gpu_mb() -> float | None:
    """Most GPU memory allocated since reset_gpu_peak, in MiB; None without a CUDA device."""
    import torch

    return torch.cuda.max_memory_allocated() / (1 << 20) if torch.cuda.is_available() else None
