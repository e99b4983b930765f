"""Weights of a network with its configuration in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from closemesh.core.errors import ModelFileError
from closemesh.core.files import atomic_file

_Network = TypeVar("_Network", bound=nn.Module)

RENAMED_KEYS: Mapping[str, str] = {
    "quantiser": "quantizer",
    "book": "codebook",
    "judges": "linear_heads",
    "tokens": "vqvae",
    "books": "codebooks",
    "sayings": "labels",
    "encoder.pieces": "transformer.token_embedding",
    "encoder.places": "transformer.position_embedding",
    "encoder.norm": "transformer.norm",
    "encoder.layers": "transformer.layers",
    "conditions.spread": "conditions.std",
    "nulls.spread": "nulls.std",
    "spread": "log_std",
    "told": "partner_norm",
}
"""Modules and tensors in weight files of earlier versions, the bundled ones too, and today's: dotted names, at any
depth."""

RENAMED_CONFIG: Mapping[str, str] = {
    "sides": "kernel_sizes",
    "halved": "num_pooled",
    "tokens": "vqvae",
    "encoder": "transformer",
    "pieces": "vocabulary",
    "sayings": "num_labels",
}
"""Names of configuration fields in those files, at any depth, and today's."""


def rename_keys(weights: Mapping[str, Tensor], renamed: Mapping[str, str] = RENAMED_KEYS) -> dict[str, Tensor]:
    """The same tensors [...] under today's keys; the longest names of `renamed` are replaced first."""
    order = sorted(renamed, key=len, reverse=True)

    def today(key: str) -> str:
        path = f".{key}."
        for old in order:
            path = path.replace(f".{old}.", f".{renamed[old]}.")
        return path[1:-1]

    return {today(key): tensor for key, tensor in weights.items()}


def rename_config(config: Any, renamed: Mapping[str, str] = RENAMED_CONFIG) -> Any:
    """The same JSON value with today's names of fields in every dictionary."""
    if isinstance(config, dict):
        return {renamed.get(name, name): rename_config(value, renamed) for name, value in config.items()}
    return config


def save_network(path: Path, network: nn.Module, config: Any, training_info: dict[str, Any] | None = None) -> None:
    """Writes `network` in half precision with its configuration, a dataclass, and JSON values about its training.

    Raises OutputError when the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"config": json.dumps(asdict(config)), "about": json.dumps(training_info or {})}
    with atomic_file(path) as part:
        save_file({name: tensor.cpu() for name, tensor in tensors.items()}, part, metadata=metadata)


def load_network(path: Path, make: Callable[[dict[str, Any]], _Network], device: torch.device | str) -> _Network:
    """The network that `make` builds from the stored configuration, with its weights, in evaluation mode.

    Raises ModelFileError when the file is missing, damaged or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[attr-defined]
            config = rename_config(json.loads((file.metadata() or {})["config"]))
            weights = rename_keys({name: file.get_tensor(name) for name in file.keys()})
        network = make(config)
        network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    except FileNotFoundError as error:
        raise ModelFileError(f"network {path} not found; give another folder, or reinstall closemesh") from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"{path} does not hold the weights it should ({reason}); reinstall closemesh") from error
    return network.to(device).eval().requires_grad_(False)
