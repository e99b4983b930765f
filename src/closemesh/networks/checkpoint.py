"""Weights of a network with its configuration in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from closemesh.core.errors import ModelFileError
from closemesh.core.files import atomic_file

_Network = TypeVar("_Network", bound=nn.Module)


def save_network(path: Path, network: nn.Module, config: Any, about: dict[str, Any] | None = None) -> None:
    """`network` in half precision, with its configuration (a dataclass) and what else is to be known about it."""
    from safetensors.torch import save_file

    tensors = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in network.state_dict().items()
    }
    words = {"config": json.dumps(asdict(config)), "about": json.dumps(about or {})}
    with atomic_file(path) as part:
        save_file({name: tensor.cpu() for name, tensor in tensors.items()}, part, metadata=words)


def load_network(path: Path, make: Callable[[dict[str, Any]], _Network], device: torch.device | str) -> _Network:
    """The network that `make` builds from the stored configuration, with its weights, ready to be used.

    Raises ModelFileError when the file is missing, damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[attr-defined]
            config = json.loads((file.metadata() or {})["config"])
            weights = {name: file.get_tensor(name) for name in file.keys()}
        network = make(config)
        network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    except FileNotFoundError as error:
        raise ModelFileError(f"network {path} not found; give another folder, or reinstall closemesh") from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{path} does not hold the weights it should ({reason}); reinstall closemesh") from error
    return network.to(device).eval().requires_grad_(False)
