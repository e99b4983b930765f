"""ONNX networks through onnxruntime, and images scaled and padded to the sizes that networks take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from closemesh.core.arrays import Floats
from closemesh.core.errors import ModelFileError
from closemesh.perception.types import Image
from closemesh.weights.locate import find_model

if TYPE_CHECKING:
    import torch

_GRAY = 114  # Padding in the training images of YOLO, YOLOX and SAM.


def load_onnx(name: str, threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` of the bundled model file `name`, on the CPU.

    threads: of one call; 0 takes all cores. Small networks are faster with one thread in each of several frames.
    Raises ModelFileError when the file is missing or damaged.
    """
    return _open(find_model(name), ["CPUExecutionProvider"], "reinstall closemesh or restore the file", threads)


def open_onnx(path: Path, device: torch.device) -> Any:
    """An `InferenceSession` of a downloaded file, on the GPU when `device` is one that this onnxruntime supports.

    Raises ModelFileError when the file is damaged.
    """
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    supported = [provider for provider in wanted if provider in onnxruntime.get_available_providers()]
    advice = "delete it and fetch it again with closemesh download-weights"
    return _open(path, [*supported, "CPUExecutionProvider"], advice)


def _open(path: Path, providers: list[str], advice: str, threads: int = 0) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Images of many sizes: an arena would keep the memory of the largest of each, and grow through a long clip.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Idle threads that spin take the cores from decoding and from other networks.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's own exception types share no public base class.
        raise ModelFileError(f"{path}: not a readable ONNX model; {advice}") from error


def letterbox(image: Image, scale: float, size: tuple[int, int]) -> Image:
    """image [h, w, 3] times `scale` in the upper left corner of a gray image [H, W, 3]; size: width and height."""
    width, height = (
        min(limit, max(1, round(side * scale))) for side, limit in zip(image.shape[1::-1], size, strict=True)
    )
    canvas = np.full((size[1], size[0], 3), _GRAY, np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[:height, :width] = cv2.resize(image, (width, height), interpolation=interpolation)
    return canvas


def padded_size(image: Image, scale: float, stride: int) -> tuple[int, int]:
    """Width and height of the image [h, w, 3] times `scale`, each rounded up to a multiple of `stride`."""
    width, height = (-(-max(1, round(side * scale)) // stride) * stride for side in image.shape[1::-1])
    return width, height


def T_image_cells(cell: float, scale: float) -> Floats:
    """Affine map [2, 3] from cells of a map to image pixels; a cell is `cell` pixels of the scaled image wide.

    Pixel centers map to pixel centers: cell 0 covers the first cell / scale pixels of the image.
    """
    width = cell / scale
    return np.array([[width, 0, (width - 1) / 2], [0, width, (width - 1) / 2]])
