"""ONNX model files through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from closemesh.errors import ModelFileError
from closemesh.weights.search import find_model

if TYPE_CHECKING:
    import torch


def load_onnx(name: str) -> Any:
    """An `onnxruntime.InferenceSession` of the bundled model file `name`, on the CPU.

    Raises ModelFileError when the file is missing or damaged.
    """
    return _open(find_model(name), ["CPUExecutionProvider"], "reinstall closemesh or restore the file")


def open_onnx(path: Path, device: torch.device) -> Any:
    """The same of a downloaded file, on the GPU when `device` is one and this onnxruntime can use it."""
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    there = [provider for provider in wanted if provider in onnxruntime.get_available_providers()]
    return _open(path, [*there, "CPUExecutionProvider"], "delete it and fetch it again with closemesh download-weights")


def _open(path: Path, providers: list[str], advice: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's own exception types share no public base class.
        raise ModelFileError(f"{path}: not a readable ONNX model; {advice}") from error
