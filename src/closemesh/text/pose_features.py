"""Keypoints, axes and distances of people, which statements and their losses measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, CapsuleBody, part_distances
from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.motion import transl_of
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.structures import BodyMotion

_CHUNK = 64  # Frames for which distances between parts are computed at once.
_PALM = 1.25  # The palm lies beyond the wrist by a quarter of the forearm.


@dataclass(frozen=True)
class PoseFeatures:
    """Keypoints of P people in camera axes, and what statements measure on them."""

    keypoints: Tensor  # [..., P, 23, 3] meters, body and feet
    up: Tensor  # [..., 3] unit vector against gravity
    capsules: CapsuleBody
    _part_distances: dict[tuple[int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def keypoint(self, person: int, name: str) -> Tensor:
        """A keypoint [..., 3] of a person, meters."""
        return self.keypoints[..., person, KEYPOINT_INDEX[name], :]

    def middle(self, person: int, name: str) -> Tensor:
        """The point [..., 3] halfway between the left and the right keypoint, meters."""
        return (self.keypoint(person, f"left_{name}") + self.keypoint(person, f"right_{name}")) / 2

    def point(self, person: int, name: str) -> Tensor:
        """A point [..., 3] of the vocabulary, meters."""
        if name == "head":
            return self.middle(person, "ear")
        side, _, limb = name.partition("_")
        if limb == "hand":
            return torch.lerp(self.keypoint(person, f"{side}_elbow"), self.keypoint(person, f"{side}_wrist"), _PALM)
        if limb == "foot":
            return (self.keypoint(person, f"{side}_heel") + self.keypoint(person, f"{side}_big_toe")) / 2
        return self.keypoint(person, name)

    def trunk(self, person: int) -> Tensor:
        """Unit axes [..., 3, 3] of the trunk, one a row: to its left, up along it, to the front."""
        up = F.normalize(self.middle(person, "shoulder") - self.middle(person, "hip"), dim=-1, eps=1e-6)
        across = sum(
            self.keypoint(person, f"left_{n}") - self.keypoint(person, f"right_{n}") for n in ("shoulder", "hip")
        )
        front = F.normalize(torch.linalg.cross(across, up), dim=-1, eps=1e-6)
        return torch.stack([torch.linalg.cross(up, front), up, front], dim=-2)

    def across(self, person: int, name: str) -> Tensor:
        """Unit vector [..., 3] from the right to the left one of two keypoints."""
        line = self.keypoint(person, f"left_{name}") - self.keypoint(person, f"right_{name}")
        return F.normalize(line, dim=-1, eps=1e-6)

    def gaze(self, person: int) -> Tensor:
        """Unit vector [..., 3] from the middle of the ears to the nose."""
        return F.normalize(self.keypoint(person, "nose") - self.point(person, "head"), dim=-1, eps=1e-6)

    def trunk_middle(self, person: int) -> Tensor:
        """The middle [..., 3] of the trunk, meters."""
        return (self.middle(person, "shoulder") + self.middle(person, "hip")) / 2

    def height(self, points: Tensor) -> Tensor:
        """Meters [...] of points [..., 3] along gravity; the origin is arbitrary."""
        return (points * self.up).sum(-1)

    def lowest(self, person: int) -> Tensor:
        """Height [...] of the lowest keypoint, meters."""
        return (self.keypoints[..., person, :, :] * self.up[..., None, :]).sum(-1).amin(-1)

    def part_distances(self, a: int, b: int) -> Tensor:
        """Signed meters [..., 17, 17] between the CAPSULE_PARTS of two people; cached."""
        if a > b:
            return self.part_distances(b, a).transpose(-1, -2)
        if (a, b) not in self._part_distances:
            points = self.keypoints[..., a, :, :], self.keypoints[..., b, :, :]
            self._part_distances[a, b] = part_distances(points[0], points[1], self.capsules)
        return self._part_distances[a, b]

    def part_distance(self, a: int, part_a: str, b: int, part_b: str) -> Tensor:
        """Signed meters [...] between two parts of two people."""
        return self.part_distances(a, b)[..., CAPSULE_PARTS.index(part_a), CAPSULE_PARTS.index(part_b)]


def pose_features_at(
    rotations: Tensor, pelvis: Tensor, betas: Tensor, up: Tensor, body: LandmarkBody, capsules: CapsuleBody
) -> PoseFeatures:
    """Features of N independent moments.

    rotations: [N, P, 22, 3, 3]; pelvis: [N, P, 3] meters; betas: [N, P, B]; up: [N, 3]; body: coarse landmarks.
    """
    count, people = pelvis.shape[:2]
    transl = transl_of(body, betas, pelvis)
    posed = pose_landmarks(body, betas.flatten(0, 1), rotations.flatten(0, 1)[None], transl.flatten(0, 1)[None])
    return PoseFeatures(posed.keypoints[0, :, :NUM_POINTS].unflatten(0, (count, people)), up, capsules)


def pose_features(
    motion: BodyMotion, body: LandmarkBody, capsules: CapsuleBody, up_cam: Floats
) -> Iterator[PoseFeatures]:
    """Features [t, P, ...] of a motion in chunks of frames.

    motion: camera frame; body: coarse landmarks; up_cam: [T, 3] unit vectors against gravity.
    """

    def tensor(array: Floats) -> Tensor:
        return torch.as_tensor(array, dtype=body.joint_template.dtype)

    joints = body.joint_template.shape[0]
    betas = tensor(motion.betas)[:, : body.num_betas]
    for first in range(0, len(motion.transl), _CHUNK):
        part = slice(first, first + _CHUNK)
        posed = pose_landmarks(body, betas, tensor(motion.rotations[part, :, :joints]), tensor(motion.transl[part]))
        yield PoseFeatures(posed.keypoints[..., :NUM_POINTS, :], tensor(up_cam[part]), capsules)
