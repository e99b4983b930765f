"""ONNX files with the signatures of RTMW and YOLOX.

RTMW: one normalized crop in, two rows of bins for each of 133 keypoints out. YOLOX: one image in, boxes and labels
out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

WIDTH, HEIGHT = 192, 256
_NAMES = ("simcc_x", "simcc_y")


def save_brightest_red(path: Path, keypoints: int = 133) -> Path:
    """Every keypoint lies where the crop is reddest, by its real pixels."""
    nodes = [helper.make_node("Gather", ["input", "red"], ["channel"], axis=1)]
    for name, axis in zip(_NAMES, (2, 3), strict=True):  # The largest over rows leaves columns, and the other way.
        nodes += [
            helper.make_node("ReduceMax", ["channel", f"axis_{axis}"], [f"line_{name}"], keepdims=0),
            helper.make_node("Resize", [f"line_{name}", "", "double"], [f"bins_{name}"], mode="nearest"),
            helper.make_node("Mul", [f"bins_{name}", "height"], [f"high_{name}"]),
            helper.make_node("Tile", [f"high_{name}", "times"], [name]),
        ]
    constants = {
        **{"red": np.array([0]), "axis_2": np.array([2]), "axis_3": np.array([3])},
        "double": np.array([1, 1, 2], np.float32),
        "height": np.array(2.3, np.float32),
        "times": np.array([1, keypoints, 1]),
    }
    return _save(path, nodes, constants, keypoints)


def save_always(path: Path, points: np.ndarray, height: float = 10.0) -> Path:
    """Every crop has these keypoints [133, 2], in crop pixels, with bells of this height."""
    nodes, constants = [], {"axes": np.array([1, 2, 3]), "zero": np.array(0, np.float32)}
    nodes.append(helper.make_node("ReduceMax", ["input", "axes"], ["largest"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["largest", "zero"], ["nothing"]))
    for name, side, column in zip(_NAMES, (WIDTH, HEIGHT), (0, 1), strict=True):
        bins = np.arange(2 * side)
        bells = height * np.exp(-0.5 * ((bins - 2 * points[:, column, None]) / 6) ** 2)
        constants[f"bells_{name}"] = bells[None].astype(np.float32)
        nodes.append(helper.make_node("Add", [f"bells_{name}", "nothing"], [name]))
    return _save(path, nodes, constants, len(points))


def save_boxes(path: Path, boxes: np.ndarray, scores: list[float], labels: list[int], side: int = 640) -> Path:
    """YOLOX's signature: every image has these boxes [N, 4], in pixels of the network's image."""
    rows = np.column_stack([boxes, scores])[None].astype(np.float32)
    constants = {"rows": rows, "kinds": np.array([labels]), "axes": np.array([1, 2, 3]), "zero": np.float32(0)}
    nodes = [
        helper.make_node("ReduceMax", ["input", "axes"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["dets"]),
        helper.make_node("Identity", ["kinds"], ["labels"]),
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, side, side])
    outputs = [
        helper.make_tensor_value_info("dets", TensorProto.FLOAT, ["batch", len(scores), 5]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch", len(scores)]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "stand_in", [source], outputs, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def _save(path: Path, nodes: list, constants: dict[str, np.ndarray], keypoints: int) -> Path:
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, HEIGHT, WIDTH])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", keypoints, 2 * side])
        for name, side in zip(_NAMES, (WIDTH, HEIGHT), strict=True)
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "stand_in", [source], outputs, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path
