"""ONNX model files through onnxruntime."""

from __future__ import annotations

from typing import Any

from closemesh.errors import ModelFileError
from closemesh.weights.search import find_model


def load_onnx(name: str) -> Any:
    """An `onnxruntime.InferenceSession` of the model file `name`.

    Raises ModelFileError when the file is missing or damaged.
    """
    import onnxruntime

    path = find_model(name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception types share no public base class.
        raise ModelFileError(f"{path}: not a readable ONNX model; reinstall closemesh or restore the file") from error
