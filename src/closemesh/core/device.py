"""Choice of the device, and peak memory of the process and of the GPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from closemesh.core.errors import InputError

if TYPE_CHECKING:
    import torch

_MIB = 1 << 20


def choose_device(name: str | None = None) -> torch.device:
    """Return the device `name`, else $CLOSEMESH_DEVICE, else CUDA if available, else the CPU.

    MPS is never the default: the fits need float64 in places, which it lacks.
    Raises InputError when the device is unknown or not available.
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
    """Return the largest resident memory of this process so far in MiB; None on Windows."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: getrusage starts with the peak of the parent process.
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / (1 << 10) for line in lines if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB  # macOS counts bytes.


def reset_gpu_peak() -> None:
    """Start a new measurement for peak_gpu_mb."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gpu_mb() -> float | None:
    """Return the most GPU memory allocated since reset_gpu_peak in MiB; None without a CUDA device."""
    import torch

    return torch.cuda.max_memory_allocated() / _MIB if torch.cuda.is_available() else None
