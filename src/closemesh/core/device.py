"""Choice of the device, peak memory of the process and of the GPU, and which errors are those of the machine."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from closemesh.core.errors import ClosemeshError, InputError, NonFiniteError

if TYPE_CHECKING:
    import torch

_MIB = 1 << 20
# Libraries raise RuntimeError, or a type of their own, for all of these; only the text shows which it is.
_MEMORY = re.compile(
    r"out of memory|(can't|cannot|failed to) allocate|(not enough|insufficient) memory|bad.?alloc|ALLOC_FAILED", re.I
)
_DEVICE = re.compile(r"CUDA|cuDNN|CUBLAS|CUSOLVER|CUSPARSE|NVRTC|\bHIP\b|\bMPS\b", re.I)
_NUMBERS = re.compile(r"\bnans?\b|float infinity|^(torch\.)?linalg\.", re.I)


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


def return_freed_memory() -> None:
    """Give memory that was freed back to the system; call it after a stage, and while many images are read.

    The C library of Linux keeps freed blocks, and small arrays that lie between those of images keep them from being
    used again, so that memory would grow with the number of images.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


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


@dataclass(frozen=True)
class Fault:
    """An error that may be the fault of the machine and not of the input."""

    kind: Literal["memory", "device", "numbers"]
    reason: str


def fault_of(error: Exception, on_gpu: bool) -> Fault | None:
    """Return the fault that an error of a computation shows; None for any other error."""
    from closemesh.core.foreign import short_reason

    kind, text = type(error).__name__, str(error)
    if isinstance(error, ClosemeshError):
        return Fault("numbers", text) if isinstance(error, NonFiniteError) else None
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or _MEMORY.search(text):
        return Fault("memory", "out of memory")
    if on_gpu and _DEVICE.search(text):
        return Fault("device", f"the GPU failed ({short_reason(error)})")
    is_numeric = isinstance(error, ArithmeticError | ValueError | RuntimeError) and _NUMBERS.search(text)
    if kind in ("LinAlgError", "_LinAlgError") or isinstance(error, FloatingPointError) or is_numeric:
        return Fault("numbers", short_reason(error))
    return None


def release_memory() -> None:
    """Free what a failed computation held, on the GPU too."""
    import torch

    gc.collect()
    with suppress(RuntimeError):  # The GPU itself may be lost.
        torch.cuda.empty_cache()
