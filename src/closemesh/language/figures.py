"""People as the few points that statements speak of: differentiable, for the rules and for the energies alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import COARSE_PARTS, NUM_POINTS, CapsuleBody, part_gaps
from closemesh.body.points import PointBody, pose_points
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.scene import BodyMotion, Floats

_CHUNK = 64  # Frames whose gaps between parts are measured at once.
_PALM = 1.25  # The middle of the hand lies beyond the wrist by a quarter of the forearm.


@dataclass(frozen=True)
class Figures:
    """P people as body and foot keypoints, camera frame."""

    keypoints: Tensor  # [..., P, 23, 3] metres
    up: Tensor  # [..., 3] unit vector against gravity, cam
    capsules: CapsuleBody
    _gaps: dict[tuple[int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def named(self, person: int, name: str) -> Tensor:
        """A keypoint [..., 3] of a person."""
        return self.keypoints[..., person, KEYPOINT_INDEX[name], :]

    def middle(self, person: int, name: str) -> Tensor:
        """[..., 3] halfway between the left and the right one."""
        return (self.named(person, f"left_{name}") + self.named(person, f"right_{name}")) / 2

    def point(self, person: int, name: str) -> Tensor:
        """A point of the vocabulary [..., 3]."""
        if name == "head":
            return self.middle(person, "ear")
        side, _, limb = name.partition("_")
        if limb == "hand":
            return torch.lerp(self.named(person, f"{side}_elbow"), self.named(person, f"{side}_wrist"), _PALM)
        if limb == "foot":
            return (self.named(person, f"{side}_heel") + self.named(person, f"{side}_big_toe")) / 2
        return self.named(person, name)

    def trunk(self, person: int) -> Tensor:
        """Unit vectors [..., 3, 3] of the trunk: to its left, up along it, to the front."""
        up = F.normalize(self.middle(person, "shoulder") - self.middle(person, "hip"), dim=-1, eps=1e-6)
        across = sum(self.named(person, f"left_{n}") - self.named(person, f"right_{n}") for n in ("shoulder", "hip"))
        front = F.normalize(torch.linalg.cross(across, up), dim=-1, eps=1e-6)
        return torch.stack([torch.linalg.cross(up, front), up, front], dim=-2)

    def trunk_middle(self, person: int) -> Tensor:
        """[..., 3]."""
        return (self.middle(person, "shoulder") + self.middle(person, "hip")) / 2

    def height(self, points: Tensor) -> Tensor:
        """Metres [...] of points [..., 3] along gravity; only differences mean something."""
        return (points * self.up).sum(-1)

    def lowest(self, person: int) -> Tensor:
        """Height [...] of the lowest keypoint."""
        return (self.keypoints[..., person, :, :] * self.up[..., None, :]).sum(-1).amin(-1)

    def gaps(self, a: int, b: int) -> Tensor:
        """Metres [..., 17, 17] between COARSE_PARTS of a and of b; measured once."""
        if a > b:
            return self.gaps(b, a).transpose(-1, -2)
        if (a, b) not in self._gaps:
            self._gaps[a, b] = part_gaps(self.keypoints[..., a, :, :], self.keypoints[..., b, :, :], self.capsules)
        return self._gaps[a, b]

    def gap(self, a: int, part_a: str, b: int, part_b: str) -> Tensor:
        """Metres [...] between two parts."""
        return self.gaps(a, b)[..., COARSE_PARTS.index(part_a), COARSE_PARTS.index(part_b)]


def figures_at(
    rotations: Tensor, pelvis: Tensor, betas: Tensor, up: Tensor, points: PointBody, capsules: CapsuleBody
) -> Figures:
    """People of N moments that have nothing to do with each other.

    rotations [N, P, 22, 3, 3], pelvis [N, P, 3] metres, betas [N, P, B], up [N, 3]; points: coarse.
    """
    count, people = pelvis.shape[:2]
    transl = pelvis - points.rest_joints(betas)[..., 0, :]
    posed = pose_points(points, betas.flatten(0, 1), rotations.flatten(0, 1)[None], transl.flatten(0, 1)[None])
    return Figures(posed.keypoints[0, :, :NUM_POINTS].unflatten(0, (count, people)), up, capsules)


def figures_of(motion: BodyMotion, points: PointBody, capsules: CapsuleBody, up_cam: Floats) -> Iterator[Figures]:
    """Everybody [t, P, 23, 3], some frames at a time. motion: camera frame; points: coarse; up_cam [T, 3]."""

    def tensor(array: Floats) -> Tensor:
        return torch.as_tensor(array, dtype=points.joint_template.dtype)

    joints = points.joint_template.shape[0]
    betas = tensor(motion.betas)[:, : points.num_betas]
    for first in range(0, len(motion.transl), _CHUNK):
        part = slice(first, first + _CHUNK)
        posed = pose_points(points, betas, tensor(motion.rotations[part, :, :joints]), tensor(motion.transl[part]))
        yield Figures(posed.keypoints[..., :NUM_POINTS, :], tensor(up_cam[part]), capsules)
