"""Animated GLB (binary glTF 2.0, ISO/IEC 12113) with skinned people and the camera.

glTF uses the same linear blend skinning as the body. Two things differ from the result: the expression is its mean
over the clip, and pose correctives of a licensed body are left out. Vertices with more than four influences use a
second set of weights. three.js reads only the first set, which moves 1-2 % of the vertices of the bundled body by 1 to
15 mm.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from closemesh import __version__
from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_world
from closemesh.body.skeleton import JOINT_NAMES, PARENTS
from closemesh.body.skinning import rest_joints, shaped_template
from closemesh.core.arrays import Bools, Floats
from closemesh.core.files import atomic_file
from closemesh.geometry.mesh import vertex_normals
from closemesh.geometry.rotations import matrix_to_quaternion
from closemesh.rendering.shading import person_color
from closemesh.structures import BodyMotion, Camera, Clip

_FLOAT, _UNSIGNED_BYTE, _UNSIGNED_INT = 5126, 5121, 5125
_COMPONENT = {"float32": _FLOAT, "uint8": _UNSIGNED_BYTE, "uint32": _UNSIGNED_INT}
_SHAPE_NAME = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_MAGIC, _VERSION, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963

Property = Literal["translation", "rotation", "scale"]
Json = dict[str, Any]


class GltfBuilder:
    """Builds one scene with one animation and writes it as .glb."""

    def __init__(self, name: str) -> None:
        self._animation: Json = {"name": name, "samplers": [], "channels": []}
        self._binary = bytearray()
        self._parts: dict[str, list[Json]] = {}
        self._roots: list[int] = []

    def add(self, kind: str, part: Json) -> int:
        """Append to a top-level list (`nodes`, `meshes`, `skins`, ...) and return the index of the new part."""
        self._parts.setdefault(kind, []).append(part)
        return len(self._parts[kind]) - 1

    def add_node(self, node: Json, root: bool = False) -> int:
        """Append a node, to the roots of the scene if `root`, and return its index."""
        index = self.add("nodes", node)
        if root:
            self._roots.append(index)
        return index

    def add_array(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Store array [N, ...] and return the index of its accessor; `bounds` adds minimum and maximum."""
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
        """Animate `path` of a node with values [T, ...] at the accessor `times`; constant values become a property."""
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
        with atomic_file(path) as part, part.open("wb") as file:
            file.write(struct.pack("<III", _MAGIC, _VERSION, 28 + len(text) + len(self._binary)))
            file.write(struct.pack("<II", len(text), _JSON_CHUNK) + text)
            file.write(struct.pack("<II", len(self._binary), _BINARY_CHUNK) + self._binary)


_SET = 4  # Influences in one JOINTS_n and WEIGHTS_n pair.
_NEAREST = 0.01  # Meters, near plane of the camera.


def write_glb(path: Path, clip: Clip, camera: Camera, motion: BodyMotion, body: BodyModel) -> None:
    """Write `path` (.glb) from camera-frame motion. Frame: world, y up, meters; the first frame is at 0 s.

    Each person is a node `person_00`, which never moves, above a mesh of their shape and a tree of 55 joint nodes from
    `person_00_pelvis`: programs with armatures make one for each person and leave the camera out of it. In frames in
    which a person is not valid the pelvis is scaled to 0, which hides the mesh. Raises OutputError when it cannot be
    written.
    """
    motion_world = motion_in_world(motion, camera, body)
    builder = GltfBuilder(clip.path.stem)
    times = builder.add_array((clip.times - clip.times[0]).astype(np.float32), bounds=True)
    common = _common_attributes(builder, body)
    for person in range(motion.num_people):
        _add_person(builder, times, motion_world, person, body, common)
    _add_camera(builder, times, camera)
    builder.write(path)


def _common_attributes(builder: GltfBuilder, body: BodyModel) -> Json:
    """Accessors of the faces and skin weights that all people have in common, by name."""
    weights = body.skin_weights.cpu().numpy()
    influences = int((weights > 0).sum(1).max())
    order = np.argsort(-weights, axis=1, kind="stable")[:, : -(-influences // _SET) * _SET]  # [V, 4 n]
    sorted_weights = np.take_along_axis(weights, order, axis=1)
    order = np.where(sorted_weights > 0, order, 0).astype(np.uint8)
    common: Json = {
        "indices": builder.add_array(body.faces.cpu().numpy().astype(np.uint32).ravel(), INDEX_BUFFER),
    }
    for n in range(order.shape[1] // _SET):
        part = slice(_SET * n, _SET * (n + 1))
        common[f"JOINTS_{n}"] = builder.add_array(order[:, part], VERTEX_BUFFER)
        common[f"WEIGHTS_{n}"] = builder.add_array(sorted_weights[:, part].astype(np.float32), VERTEX_BUFFER)
    return common


def _add_person(
    builder: GltfBuilder, times: int, motion_world: BodyMotion, person: int, body: BodyModel, common: Json
) -> None:
    name = f"person_{person:02d}"
    valid = motion_world.valid[:, person]
    betas = torch.as_tensor(motion_world.betas[person]).to(body.v_template)
    expression = torch.as_tensor(mean_expression(motion_world, person)).to(body.v_template)
    joints_rest = rest_joints(body, betas, expression).cpu().numpy().astype(np.float32)  # [55, 3]
    vertices = shaped_template(body, betas, expression).cpu().numpy().astype(np.float32)  # [V, 3]
    joints = _add_joints(builder, name, joints_rest)
    mesh = _add_mesh(builder, name, person, vertices, body, common)
    skin = _add_skin(builder, name, joints, joints_rest)
    surface = builder.add_node({"name": f"{name}_mesh", "mesh": mesh, "skin": skin})
    extras = {"body_model": body.name}
    builder.add_node({"name": name, "children": [joints[0], surface], "extras": extras}, root=True)
    frames = last_valid(valid)
    pelvis = motion_world.transl[frames, person] + joints_rest[0]
    builder.animate(joints[0], "translation", times, pelvis)
    builder.animate(joints[0], "scale", times, np.repeat(valid[:, None], 3, axis=1), step=True)
    for index, joint in enumerate(joints):
        builder.animate(joint, "rotation", times, continuous_quaternions(motion_world.rotations[frames, person, index]))


def _add_joints(builder: GltfBuilder, name: str, joints_rest: Floats) -> list[int]:
    """Indices of one node per joint, in the order of the joints, linked to their parents."""
    nodes: list[Json] = [{"name": f"{name}_{joint_name}"} for joint_name in JOINT_NAMES]
    joints = [builder.add_node(node) for node in nodes]
    for index, parent in enumerate(PARENTS):
        if parent >= 0:
            nodes[index]["translation"] = (joints_rest[index] - joints_rest[parent]).tolist()
            nodes[parent].setdefault("children", []).append(joints[index])
    return joints


def _add_mesh(builder: GltfBuilder, name: str, person: int, vertices: Floats, body: BodyModel, common: Json) -> int:
    faces = body.faces.cpu().numpy()
    normals = vertex_normals(vertices, faces)
    linear = (np.array(person_color(person)) / 255) ** 2.2  # glTF factors are linear light.
    material = builder.add(
        "materials",
        {
            "name": name,
            "pbrMetallicRoughness": {
                "baseColorFactor": [*linear.tolist(), 1.0],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.8,
            },
        },
    )
    attributes = {key: accessor for key, accessor in common.items() if key != "indices"}
    attributes["POSITION"] = builder.add_array(vertices, VERTEX_BUFFER, bounds=True)
    attributes["NORMAL"] = builder.add_array(normals.astype(np.float32), VERTEX_BUFFER)
    primitive = {"attributes": attributes, "indices": common["indices"], "material": material}
    return builder.add("meshes", {"name": name, "primitives": [primitive]})


def _add_skin(builder: GltfBuilder, name: str, joints: list[int], joints_rest: Floats) -> int:
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse_bind[:, 3, :3] = -joints_rest  # glTF stores matrices by column.
    return builder.add(
        "skins",
        {
            "name": name,
            "joints": joints,
            "skeleton": joints[0],
            "inverseBindMatrices": builder.add_array(inverse_bind),
        },
    )


def _add_camera(builder: GltfBuilder, times: int, camera: Camera) -> None:
    """Add the camera of the clip. glTF cameras look along -z with y up; their principal point is the image center."""
    width, height = camera.size
    lens = {
        "yfov": float(2 * np.arctan2(height / 2, camera.focal)),
        "aspectRatio": width / height,
        "znear": _NEAREST,
    }
    index = builder.add("cameras", {"name": "camera", "type": "perspective", "perspective": lens})
    node = builder.add_node({"name": "camera", "camera": index}, root=True)
    T_world_cam = np.linalg.inv(camera.T_cam_world) @ np.diag([1.0, -1.0, -1.0, 1.0])
    builder.animate(node, "translation", times, T_world_cam[:, :3, 3])
    builder.animate(node, "rotation", times, continuous_quaternions(T_world_cam[:, :3, :3]))


def continuous_quaternions(rotations: Floats) -> Floats:
    """x, y, z, w [T, 4] of rotations [T, 3, 3], with signs that make neighboring frames continuous."""
    quaternions = matrix_to_quaternion(torch.as_tensor(rotations, dtype=torch.float64)).numpy()[..., [1, 2, 3, 0]]
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    quaternions[1:] *= np.cumprod(flips, axis=0)
    return quaternions


def mean_expression(motion: BodyMotion, person: int) -> Floats:
    """Expression [E] of a person, mean over their valid frames; for formats with one mesh per clip."""
    valid = motion.valid[:, person]
    return motion.expression[valid if valid.any() else slice(None), person].mean(0)


def last_valid(valid: Bools) -> np.ndarray:
    """The latest valid frame [T] up to each frame, so that a hidden person stays at the last valid pose; valid [T]."""
    first = int(np.argmax(valid))
    return np.maximum.accumulate(np.where(valid, np.arange(len(valid)), first))
