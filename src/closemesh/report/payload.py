"""What the page animates, as values for JSON: meshes, poses, touching vertices, the camera and the evidence of joints.

Arrays are little-endian numbers in base64. Each person has one rest mesh, which the page skins as the body does (linear
blend skinning). Three things differ from the result: four joints at most move a vertex, the expression is its mean over
the clip, and pose correctives of a licensed body are left out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_world, motion_joints
from closemesh.body.skeleton import JOINT_NAMES, KEYPOINT_INDEX, PARENTS
from closemesh.body.skinning import rest_joints, shaped_template
from closemesh.contact.measure import ContactConfig
from closemesh.contact.vertex_contacts import find_contacts, posed_chunks
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import matrix_to_quaternion
from closemesh.rendering.shading import person_color
from closemesh.report.measures import keypoint_std
from closemesh.report.records import ReportRecords
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion, Camera, PairContacts

Json = dict[str, Any]

POSITION_UNIT = 1e-4
"""Meters; rest vertices are stored as multiples of it."""
QUATERNION_UNIT = 1 / 32767
ABSENT = 255
"""In heat maps: the person is not in the scene."""

_INFLUENCES = 4  # Joints that move a vertex in three.js.

# Row of the heat map -> keypoints that show it.
EVIDENCE_ROWS: dict[str, tuple[str, ...]] = {
    "head": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    **{
        f"{side} {name}": (f"{side}_{name}",)
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    },
    **{f"{side} foot": (f"{side}_big_toe", f"{side}_heel") for side in ("left", "right")},
}
MAX_EVIDENCE_CM = 12.0
"""Standard deviation at the end of the scale; larger ones and unseen keypoints look the same."""
MAX_ROTATION_DEGREES = 40.0


def report_payload(records: ReportRecords) -> Json:
    """Everything that the page animates. Frame of positions: world (y up), meters."""
    mesh = watertight_body(records.body, "fine")  # Contact is measured on this mesh, so touching vertices are its own.
    motion_world = motion_in_world(records.motion, records.camera, records.body)
    times = records.clip.times - records.clip.times[0]
    return {
        "times": times.round(5).tolist(),
        "floor": _floor_height(records, motion_world),
        "camera": _camera(records.camera),
        "body": _body(mesh),
        "people": _people(motion_world, records.body, mesh),
        "truth": _truth(records, mesh),
        "contact": _touching_vertices(records, mesh),
        "evidence": _evidence(records),
        "rotations": _rotation_stds(records),
    }


def encode(array: np.ndarray, dtype: str) -> str:
    """The numbers of an array [...] as little-endian `dtype` in base64, in C order."""
    return base64.b64encode(np.ascontiguousarray(array).astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode()


def _floor_height(records: ReportRecords, motion_world: BodyMotion) -> float:
    """Height in the world at which the page draws the floor: that of the lowest joint where no floor was found."""
    shown = motion_joints(motion_world, records.body)[records.motion.valid]  # [N, 55, 3]
    return 0.0 if records.camera.floor_found or not shown.size else round(float(shown[..., 1].min()), 3)


def _camera(camera: Camera) -> Json:
    """The camera; one T_world_cam, by rows, if it stands still."""
    T_world_cam = np.linalg.inv(camera.T_cam_world)
    static = bool(np.ptp(T_world_cam, axis=0).max() == 0)
    return {
        "focal": camera.focal,
        "center": camera.principal_point,
        "size": camera.size,
        "static": static,
        "T_world_cam": encode(T_world_cam[:1] if static else T_world_cam, "float32"),
    }


def _body(mesh: BodyModel) -> Json:
    """What all people have in common: faces, skeleton, and the four largest skin weights of each vertex in 1/255."""
    weights = mesh.skin_weights.cpu().numpy()
    order = np.argsort(-weights, axis=1, kind="stable")[:, :_INFLUENCES]  # [V, 4]
    largest = np.take_along_axis(weights, order, axis=1)
    return {
        "joints": JOINT_NAMES,
        "parents": PARENTS,
        "unit": POSITION_UNIT,
        "faces": encode(mesh.faces.cpu().numpy(), "uint16" if len(weights) <= 1 << 16 else "uint32"),
        "skin_joints": encode(order, "uint8"),
        "skin_weights": encode(_bytes_of_weights(largest), "uint8"),
    }


def _bytes_of_weights(weights: Floats) -> NDArray[np.int64]:
    """Whole numbers [V, 4] with a sum of 255 in each row, in the proportions of the weights [V, 4]."""
    scaled = 255 * weights / weights.sum(1, keepdims=True)
    rounded = scaled.round().astype(np.int64)
    rounded[:, 0] += 255 - rounded.sum(1)
    return rounded


def _people(motion_world: BodyMotion, body: BodyModel, mesh: BodyModel) -> list[Json]:
    people = range(motion_world.num_people)
    return [_person(motion_world.people([person]), person_color(person), body, mesh) for person in people]


def _person(motion_world: BodyMotion, color: tuple[int, int, int], body: BodyModel, mesh: BodyModel) -> Json:
    """Pose and skeleton of the one person of this motion on `body`, and the rest vertices of `mesh`."""
    valid = motion_world.valid[:, 0]
    betas = torch.as_tensor(motion_world.betas[0]).to(body.v_template)
    expression = motion_world.expression[valid if valid.any() else slice(None), 0].mean(0)
    mean_expression = torch.as_tensor(expression).to(body.v_template)
    rest = rest_joints(body, betas, mean_expression).cpu().numpy()  # [55, 3]
    vertices = shaped_template(mesh, betas, mean_expression).cpu().numpy()  # [V, 3]
    rotations = torch.as_tensor(motion_world.rotations[:, 0], dtype=torch.float64)
    quaternions = matrix_to_quaternion(rotations).numpy()[..., [1, 2, 3, 0]]  # [T, 55, 4] x, y, z, w
    return {
        "color": color,
        "rest_joints": encode(rest, "float32"),
        "vertices": encode((vertices / POSITION_UNIT).round(), "int16"),
        "pelvis": encode(motion_joints(motion_world, body)[:, 0, 0], "float32"),
        "quaternions": encode((quaternions / QUATERNION_UNIT).round(), "int16"),
        "valid": encode(valid, "uint8"),
    }


def _truth(records: ReportRecords, mesh: BodyModel) -> Json | None:
    """The true motion and the error of the result in millimeters [P, T]; -1 where one of them has no pose."""
    if records.truth is None:
        return None
    joints = [motion_joints(one, records.body)[:, :, :NUM_BODY_JOINTS] for one in (records.motion, records.truth)]
    result, truth = (one - one[:, :, :1] for one in joints)  # [T, P, 22, 3] relative to the pelvis
    error_mm = 1000 * np.linalg.norm(result - truth, axis=-1).mean(-1)  # [T, P]
    shown = np.where(records.motion.valid & records.truth.valid, error_mm, -1)
    truth_world = motion_in_world(records.truth, records.camera, records.body)
    return {"people": _people(truth_world, records.body, mesh), "error_mm": shown.round(1).T.tolist()}


def _touching_vertices(records: ReportRecords, mesh: BodyModel) -> list[Json]:
    """Vertices of each person that touch another one, or are inside: `ids`, those of frame t from `starts`[t] on."""
    num_frames, num_people = records.motion.valid.shape
    touching: list[list[set[int]]] = [[set() for _ in range(num_frames)] for _ in range(num_people)]
    for pair in records.contacts:
        for frame, person, vertex in _touches(records.motion, mesh, pair) if pair.contacts else ():
            touching[person][frame].add(vertex)
    return [_frame_lists(frames) for frames in touching]


def _touches(motion: BodyMotion, mesh: BodyModel, pair: PairContacts) -> Iterator[tuple[int, int, int]]:
    """Frame, person and vertex of each vertex that touches, in the frames of the contacts of a pair."""
    in_contact = np.zeros(len(motion.transl), bool)
    for contact in pair.contacts:
        in_contact[contact.start : contact.end + 1] = True
    for first, vertices in posed_chunks(motion, mesh):
        chosen = np.flatnonzero(in_contact[first : first + len(vertices)])
        of_a, of_b = (torch.as_tensor(vertices[chosen, person]) for person in (pair.person_a, pair.person_b))
        for found in find_contacts(of_a, of_b, mesh.faces, ContactConfig().touch_distance):
            frames = first + chosen[found.frame.numpy()]
            people = np.where(found.from_a.numpy(), pair.person_a, pair.person_b)
            yield from zip(frames.tolist(), people.tolist(), found.vertex.tolist(), strict=True)


def _frame_lists(frames: list[set[int]]) -> Json:
    starts = np.cumsum([0, *(len(one) for one in frames)])
    return {"starts": starts.tolist(), "ids": encode(np.array([v for one in frames for v in sorted(one)]), "uint16")}


def _evidence(records: ReportRecords) -> Json:
    """Heat map of the keypoints of each person: rows [R, T] of their standard deviation in the image, in cm."""
    std = 100 * keypoint_std(records)  # [T, P, 23]
    columns = [np.min(std[..., [KEYPOINT_INDEX[name] for name in names]], -1) for names in EVIDENCE_ROWS.values()]
    return _heat_maps(records, np.stack(columns, -1), list(EVIDENCE_ROWS), MAX_EVIDENCE_CM)


def _rotation_stds(records: ReportRecords) -> Json | None:
    """Heat map of the standard deviation of each joint rotation of the motion `initial`, in degrees."""
    if records.uncertainty is None:
        return None
    rows = ["whole body", *(name.replace("_", " ") for name in JOINT_NAMES[1:NUM_BODY_JOINTS])]
    return _heat_maps(records, np.degrees(records.uncertainty.rotation_std), rows, MAX_ROTATION_DEGREES)


def _heat_maps(records: ReportRecords, values: Floats, rows: list[str], largest: float) -> Json:
    """values [T, P, R] as bytes from 0 to 254 at `largest`; 255 where the person is not in the scene."""
    levels = (254 * np.clip(values / largest, 0, 1)).round()
    shown = np.where(records.motion.valid[..., None], levels, ABSENT).transpose(1, 2, 0)  # [P, R, T]
    return {"rows": rows, "max": largest, "people": [encode(one, "uint8") for one in shown]}
