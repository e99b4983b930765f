"""Where tensors live: the argument decides, then $CLOSEMESH_DEVICE, then CUDA when it is there, else the CPU."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from closemesh.errors import InputError

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
