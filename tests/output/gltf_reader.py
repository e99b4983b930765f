"""Independent reader of .glb files in numpy, to check the writer."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

_TYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Gltf:
    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        json_length, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        assert json_length % 4 == 0
        self.json: dict[str, Any] = json.loads(data[20 : 20 + json_length])
        binary_length, kind = struct.unpack_from("<I4s", data, 20 + json_length)
        assert kind == b"BIN\0"
        self._binary = data[28 + json_length :]
        assert len(self._binary) == binary_length == self.json["buffers"][0]["byteLength"]
        self.nodes: list[dict[str, Any]] = self.json["nodes"]

    def array(self, accessor: int) -> np.ndarray:
        a = self.json["accessors"][accessor]
        view = self.json["bufferViews"][a["bufferView"]]
        width = _WIDTHS[a["type"]]
        flat = np.frombuffer(self._binary, _TYPES[a["componentType"]], a["count"] * width, view["byteOffset"])
        assert flat.nbytes == view["byteLength"]
        return flat.reshape(-1, width) if width > 1 else flat

    def node(self, name: str) -> int:
        return next(index for index, node in enumerate(self.nodes) if node["name"] == name)

    def times(self) -> np.ndarray:
        return self.array(self.json["animations"][0]["samplers"][0]["input"])

    def global_transforms(self, key: int) -> np.ndarray:
        """[N, 4, 4] of all nodes at a key frame."""
        local = [self._local(index, key) for index in range(len(self.nodes))]
        result = np.zeros((len(self.nodes), 4, 4))

        def visit(index: int, above: np.ndarray) -> None:
            result[index] = above @ local[index]
            for child in self.nodes[index].get("children", []):
                visit(child, result[index])

        for root in self.json["scenes"][0]["nodes"]:
            visit(root, np.eye(4))
        return result

    def skinned(self, name: str, key: int) -> np.ndarray:
        """Vertices [V, 3] of a person at a key frame, in the world."""
        node = self.nodes[self.node(f"{name}_mesh")]
        skin, primitive = self.json["skins"][node["skin"]], self.json["meshes"][node["mesh"]]["primitives"][0]
        inverse_bind = self.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
        joints = self.global_transforms(key)[skin["joints"]] @ inverse_bind  # [55, 4, 4]
        attributes = primitive["attributes"]
        points = np.c_[self.array(attributes["POSITION"]), np.ones(len(self.array(attributes["POSITION"])))]
        blended = np.zeros((len(points), 4, 4))
        for n in range(sum(key.startswith("JOINTS_") for key in attributes)):
            influence, weight = self.array(attributes[f"JOINTS_{n}"]), self.array(attributes[f"WEIGHTS_{n}"])
            blended += np.einsum("vk,vkij->vij", weight.astype(float), joints[influence])
        return np.einsum("vij,vj->vi", blended, points)[:, :3]

    def _local(self, index: int, key: int) -> np.ndarray:
        node = self.nodes[index]
        values = {
            "translation": np.array(node.get("translation", [0, 0, 0])),
            "rotation": np.array(node.get("rotation", [0, 0, 0, 1])),
            "scale": np.array(node.get("scale", [1, 1, 1])),
        }
        for channel in self.json["animations"][0]["channels"]:
            if channel["target"]["node"] == index:
                sampler = self.json["animations"][0]["samplers"][channel["sampler"]]
                values[channel["target"]["path"]] = self.array(sampler["output"])[key]
        T = np.eye(4)
        T[:3, :3] = Rotation.from_quat(values["rotation"]).as_matrix() * values["scale"]
        T[:3, 3] = values["translation"]
        return T
