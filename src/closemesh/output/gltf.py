"""Building blocks of a binary glTF 2.0 file (Khronos, ISO/IEC 12113): arrays, nodes, animation."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

from closemesh import __version__
from closemesh.files import replacing

_FLOAT, _UNSIGNED_BYTE, _UNSIGNED_INT = 5126, 5121, 5125
_COMPONENT = {"float32": _FLOAT, "uint8": _UNSIGNED_BYTE, "uint32": _UNSIGNED_INT}
_SHAPE_NAME = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_MAGIC, _VERSION, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963

Property = Literal["translation", "rotation", "scale"]
Json = dict[str, Any]


class GltfBuilder:
    """Collects the parts of one scene with one animation, then writes them as .glb."""

    def __init__(self, name: str) -> None:
        self._animation: Json = {"name": name, "samplers": [], "channels": []}
        self._binary = bytearray()
        self._parts: dict[str, list[Json]] = {}
        self._roots: list[int] = []

    def add(self, kind: str, part: Json) -> int:
        """Append to one of the top-level lists (`nodes`, `meshes`, `skins`, ...); the index that refers to it."""
        self._parts.setdefault(kind, []).append(part)
        return len(self._parts[kind]) - 1

    def add_node(self, node: Json, root: bool = False) -> int:
        index = self.add("nodes", node)
        if root:
            self._roots.append(index)
        return index

    def add_array(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Store an array [N, ...]; the index of its accessor. `bounds` where the standard asks for extremes."""
        array = np.ascontiguousarray(array)
        view: Json = {"buffer": 0, "byteOffset": len(self._binary), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        self._binary += array.tobytes() + bytes(-array.nbytes % 4)
        accessor: Json = {
            "bufferView": self.add("bufferViews", view),
            "componentType": _COMPONENT[array.dtype.name],
            "count": len(array),
            "type": _SHAPE_NAME[array.shape[1:]],
        }
        if bounds:
            accessor["min"] = np.atleast_1d(array.min(0)).tolist()
            accessor["max"] = np.atleast_1d(array.max(0)).tolist()
        return self.add("accessors", accessor)

    def animate(self, node: int, path: Property, times: int, values: np.ndarray, step: bool = False) -> None:
        """Let a node's `path` follow values [T, ...] at the accessor `times`; what never changes becomes a property."""
        values = np.asarray(values, dtype=np.float32)
        if np.ptp(values, axis=0).max() == 0:
            self._parts["nodes"][node][path] = values[0].tolist()
            return
        sampler = {
            "input": times,
            "output": self.add_array(values),
            "interpolation": "STEP" if step else "LINEAR",
        }
        self._animation["samplers"].append(sampler)
        target = {"node": node, "path": path}
        self._animation["channels"].append({"sampler": len(self._animation["samplers"]) - 1, "target": target})

    def write(self, path: Path) -> None:
        """Write the file. Raises OutputError when it cannot be written."""
        document: Json = {
            "asset": {"version": "2.0", "generator": f"closemesh {__version__}"},
            "scene": 0,
            "scenes": [{"nodes": self._roots}],
            **self._parts,
            "buffers": [{"byteLength": len(self._binary)}],
        }
        if self._animation["channels"]:
            document["animations"] = [self._animation]
        text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        with replacing(path) as part, part.open("wb") as file:
            file.write(struct.pack("<III", _MAGIC, _VERSION, 28 + len(text) + len(self._binary)))
            file.write(struct.pack("<II", len(text), _JSON_CHUNK) + text)
            file.write(struct.pack("<II", len(self._binary), _BINARY_CHUNK) + self._binary)
