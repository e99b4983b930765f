"""Files of `torch.save` that hold tensors and plain containers; nothing else in them is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from closemesh.errors import InputError
from closemesh.motion_data.arrays import expect
from closemesh.scene import Floats


def read_torch(path: Path) -> Any:
    """What the file holds, on the CPU. Raises InputError when it is missing, damaged, or asks for anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except Exception as error:  # torch raises many kinds, with advice over several lines.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read ({reason}); make it again with the tool it is from") from error


def numbers(path: Path, name: str, value: Any, shape: tuple[int | str, ...]) -> Floats:
    """A tensor or array of this shape as float64, see `expect`. Raises InputError."""
    if not isinstance(value, torch.Tensor):
        return expect(path, name, _array(path, name, value), shape)
    return expect(path, name, value.detach().double().numpy(), shape)


def _array(path: Path, name: str, value: Any) -> Any:
    import numpy as np

    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{path}: {name} holds no array ({error}); the file is not as documented") from error
