"""Names and order of the joints and keypoints: SMPL-X 55 and COCO-WholeBody 133."""

from __future__ import annotations

_FINGER_JOINTS = tuple(f"{finger}{k}" for finger in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3))

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "jaw",
    "left_eye",
    "right_eye",
    *(f"left_{name}" for name in _FINGER_JOINTS),
    *(f"right_{name}" for name in _FINGER_JOINTS),
)
"""SMPL-X order: pelvis, 21 body joints, jaw and eyes, 15 joints of each hand."""

_FINGER_PARENTS = tuple(parent for base in range(0, 15, 3) for parent in (-1, base, base + 1))

PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
    *(15, 15, 15),
    *(20 if p < 0 else 25 + p for p in _FINGER_PARENTS),
    *(21 if p < 0 else 40 + p for p in _FINGER_PARENTS),
)
"""Parent of each joint; -1 for the pelvis. A parent always stands before its children."""

JOINT_INDEX = {name: index for index, name in enumerate(JOINT_NAMES)}

COCO_BODY: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
COCO_FEET: tuple[str, ...] = (
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
_HAND_POINTS = ("wrist", *(f"{f}{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in (1, 2, 3, 4)))

KEYPOINT_NAMES: tuple[str, ...] = (
    *COCO_BODY,
    *COCO_FEET,
    *(f"face_{k}" for k in range(68)),
    *(f"left_hand_{name}" for name in _HAND_POINTS),
    *(f"right_hand_{name}" for name in _HAND_POINTS),
)
"""COCO-WholeBody order: 17 body, 6 feet, 68 face, 21 of the left hand, 21 of the right hand."""

KEYPOINT_INDEX = {name: index for index, name in enumerate(KEYPOINT_NAMES)}

LIMBS: tuple[tuple[int, int], ...] = (
    *((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)),
    *((5, 6), (11, 12), (5, 11), (6, 12), (0, 5), (0, 6)),
)
"""Pairs of COCO body keypoints that a limb joins."""


def other_side(name: str) -> str:
    """The name with left and right exchanged."""
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


KEYPOINT_MIRROR: tuple[int, ...] = tuple(KEYPOINT_INDEX[other_side(name)] for name in KEYPOINT_NAMES[:23])
"""For each body and foot keypoint (0-22) its counterpart on the other side."""

ANKLE_OF_FOOT = (*range(17), 15, 15, 15, 16, 16, 16)
"""[23] index of each body keypoint, and of the ankle for each foot keypoint."""
