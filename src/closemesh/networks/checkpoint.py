"""Weights of a network with its configuration in one safetensors file, in half precision or in 8 bits.

In 8 bits, the tensor under `NAME` holds integers, and the one under `NAME.row_scale` the factor of each row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from closemesh.core.errors import ModelFileError
from closemesh.core.files import atomic_file

_Network = TypeVar("_Network", bound=nn.Module)

_ROW_SCALE = ".row_scale"
_MIN_QUANTIZED = 16_000  # Smaller tensors, such as biases, would save little.
_SPARE_NUMBERS, _MAX_GROWTH = 4_000_000, 16  # Tables that are not stored; and a tensor is counted when it is filled.

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


def _quantize_rows(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor [R, ...] in 8 bits: int8 values [R, ...] in -127..127 and the factor [R] of each row.

    A value is off by at most half the factor of its row, which is the largest magnitude in the row over 127.
    """
    rows = tensor.float().flatten(1)
    scales = rows.abs().amax(1) / 127
    values = (rows / scales.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round().to(torch.int8)
    return values.view(tensor.shape), scales


def _dequantize_rows(values: Tensor, scales: Tensor) -> Tensor:
    """The float32 tensor [R, ...] of int8 values [R, ...] and their factors, scales [R]."""
    return values.float() * scales.view(-1, *[1] * (values.ndim - 1))


def save_network(
    path: Path,
    network: nn.Module,
    config: Any,
    training_info: dict[str, Any] | None = None,
    quantize: Collection[str] = (),
) -> None:
    """Writes `network` in half precision with its configuration, a dataclass, and JSON values about its training.

    quantize: dotted names of modules whose weight matrices and kernels are written in 8 bits, with a factor per row.
    Raises OutputError when the file cannot be written.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        chosen = any(f"{name}.".startswith(f"{module}.") for module in quantize)
        if chosen and tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() >= _MIN_QUANTIZED:
            tensors[name], tensors[name + _ROW_SCALE] = _quantize_rows(tensor)
        else:
            tensors[name] = tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()
    metadata = {"config": json.dumps(asdict(config)), "about": json.dumps(training_info or {})}
    with atomic_file(path) as part:
        save_file({name: tensor.cpu() for name, tensor in tensors.items()}, part, metadata=metadata)


def _in_full_precision(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors [...] under the keys of the network.

    Raises KeyError when factors of 8-bit values are missing, and ValueError for numbers that are not finite.
    """
    full = {}
    for name, tensor in stored.items():
        if tensor.dtype == torch.int8:
            full[name] = _dequantize_rows(tensor, stored[name + _ROW_SCALE])
        elif not name.endswith(_ROW_SCALE):
            full[name] = tensor.float() if tensor.is_floating_point() else tensor
    unfit = [name for name, tensor in full.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if unfit:
        raise ValueError(f"{unfit[0]} is not finite")
    return full


class _SizeLimit(TorchFunctionMode):
    """Refuses a network much larger than its stored weights: its size is a number in the file."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._left = _SPARE_NUMBERS + _MAX_GROWTH * sum(tensor.numel() for tensor in weights.values())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self._left -= made.numel() if isinstance(made, Tensor) else 0
        if self._left < 0:
            raise ValueError("its configuration is of a larger network")
        return made


def load_network(path: Path, make: Callable[[dict[str, Any]], _Network], device: torch.device | str) -> _Network:
    """The network that `make` builds from the stored configuration, with its weights, in evaluation mode.

    Raises ModelFileError when the file is missing, damaged or of another network.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise ModelFileError(f"network {path} not found; give another folder, or reinstall closemesh")
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[attr-defined]
            config = rename_config(json.loads((file.metadata() or {})["config"]))
            weights = rename_keys({name: file.get_tensor(name) for name in file.keys()})
        with _SizeLimit(weights):
            network = make(config)
        network.load_state_dict(_in_full_precision(weights))
    except Exception as error:  # A damaged configuration may raise anything where the network is made.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(f"{path} does not hold the weights it should ({reason}); reinstall closemesh") from error
    return network.to(device).eval().requires_grad_(False)
