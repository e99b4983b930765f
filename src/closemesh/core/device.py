"""Choice of the device, and peak memory of the process and of the GPU."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
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

    from_environment = os.environ.get("CLOSEMESH_DEVICE")
    wanted = name or from_environment or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).item()  # `meta` makes tensors without numbers.
    except Exception as error:  # Each kind of device has its own errors.
        remedy = "use --device cpu" if name or not from_environment else "correct $CLOSEMESH_DEVICE"
        raise InputError(f"device {wanted[:60]!r} is not available here; {remedy}") from error
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
        with suppress(RuntimeError):  # A lost GPU.
            torch.cuda.reset_peak_memory_stats()


def peak_gpu_mb() -> float | None:
    """Return the most GPU memory allocated since reset_gpu_peak in MiB; None without a CUDA device that works."""
    import torch

    try:
        return torch.cuda.max_memory_allocated() / _MIB if torch.cuda.is_available() else None
    except RuntimeError:
        return None
