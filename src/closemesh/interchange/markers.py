"""Markers for biomechanics: joint centers and points of the skin, under the names that Pose2Sim gives OpenSim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from closemesh.body.motion import motion_joints, motion_keypoints
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.interchange.scene import ExportedScene

_SIDES = {"R": "right", "L": "left"}
_JOINTS: Mapping[str, str] = {
    "Pelvis": "pelvis",
    **{"Spine1": "spine1", "Spine2": "spine2", "Spine3": "spine3", "Neck": "neck", "HeadJoint": "head", "Jaw": "jaw"},
    **{
        side + name: f"{long}_{joint}"
        for side, long in _SIDES.items()
        for name, joint in (
            *(("Hip", "hip"), ("Knee", "knee"), ("Ankle", "ankle"), ("Foot", "foot"), ("Collar", "collar")),
            *(("Shoulder", "shoulder"), ("Elbow", "elbow"), ("Wrist", "wrist")),
        )
    },
}
"""Marker -> joint."""
_LANDMARKS: Mapping[str, str] = {
    "Nose": "nose",
    **{
        side + name: f"{long}_{point}"
        for side, long in _SIDES.items()
        for name, point in (
            *(("Eye", "eye"), ("Ear", "ear"), ("BigToe", "big_toe"), ("SmallToe", "small_toe"), ("Heel", "heel")),
            *(("Thumb", "hand_thumb4"), ("Index", "hand_index4"), ("Pinky", "hand_pinky4")),
        )
    },
}
"""Marker -> keypoint on the skin."""
_MILLIMETERS = 1000.0


@dataclass(frozen=True)
class MarkerTrack:
    """Markers of one person at a constant rate."""

    name: str
    """`person_00` and so on."""
    labels: list[str]
    rate: float
    positions: Floats  # [T, M, 3] millimeters, exported world; nan where the person is not valid


def marker_tracks(scene: ExportedScene) -> list[MarkerTrack]:
    """The markers of every person; `Hip` is halfway between the hip joints."""
    scene = scene.at_constant_rate()
    joints, points = motion_joints(scene.motion_world, scene.body), motion_keypoints(scene.motion_world, scene.body)
    hip = joints[:, :, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(2, keepdims=True)
    from_joints = joints[:, :, [JOINT_INDEX[joint] for joint in _JOINTS.values()]]
    from_skin = points[:, :, [KEYPOINT_INDEX[point] for point in _LANDMARKS.values()]]
    positions = _MILLIMETERS * np.concatenate([hip, from_joints, from_skin], axis=2, dtype=np.float64)  # [T, P, M, 3]
    positions[~scene.motion.valid] = np.nan
    labels = ["Hip", *_JOINTS, *_LANDMARKS]
    return [MarkerTrack(name, labels, scene.clip.fps, positions[:, p]) for p, name in enumerate(scene.people)]
