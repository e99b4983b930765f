"""What the new body has to follow: joints and keypoints of the old one, and how its own pose is held."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.points import PointBody, PosedPoints, pose_points
from closemesh.body.variables import MotionVariables
from closemesh.energy.robust import pseudo_huber
from closemesh.energy.smoothness import acceleration
from closemesh.fitting.anchor import Anchor, anchor_energy
from closemesh.scene import NUM_BODY_JOINTS, BodyMotion

_KEYPOINTS = [*range(23), *range(91, 133)]  # Body, feet and hands; a face says nothing that the head does not.
_KEYPOINT_SIGMA = 0.015  # Metres by which bodies differ in where a keypoint lies.
_JOINT_SIGMA = 0.03  # Metres; joints lie inside, where every body has them elsewhere.
_SHAKE_SIGMA = 1.0  # m/s^2 by which joints may shake against those they follow.
_FAR = 3.0  # Sigmas beyond which the pull grows only linearly.


@dataclass(frozen=True)
class Followed:
    """Points of the old body over T frames, camera frame, metres."""

    keypoints: Tensor  # [T, P, K, 3] body, feet, hands
    joints: Tensor  # [T, P, 22, 3]
    present: Tensor  # [T, P] 1 where the person is there
    times: Tensor  # [T] seconds
    anchor: Anchor

    def frames(self, index: slice | Tensor) -> Followed:
        """The same people in some of the frames."""
        parts = {name: getattr(self, name)[index] for name in ("keypoints", "joints", "present", "times")}
        return replace(self, **parts, anchor=self.anchor.frames(index))


def followed_points(motion: BodyMotion, body: PointBody, times: Tensor, anchor: Anchor) -> Followed:
    """Where `motion` has the points of its `body`; times [T] seconds."""
    arrays = (torch.as_tensor(a).to(body.joint_template) for a in (motion.betas, motion.rotations, motion.transl))
    with torch.no_grad():
        posed = pose_points(body, *arrays)
    present = torch.as_tensor(motion.valid).to(posed.joints)
    return Followed(posed.keypoints[..., _KEYPOINTS, :], posed.joints[..., :NUM_BODY_JOINTS, :], present, times, anchor)


def follow_energy(variables: MotionVariables, posed: PosedPoints, followed: Followed) -> Tensor:
    """Energy as one number: points against those they follow, the copied rotations, shaking, an unlikely shape."""
    joints = posed.joints[..., :NUM_BODY_JOINTS, :]
    points = _pull(posed.keypoints[..., _KEYPOINTS, :] - followed.keypoints, _KEYPOINT_SIGMA)
    energy = points + _pull(joints - followed.joints, _JOINT_SIGMA) + anchor_energy(variables, followed.anchor)
    total = (energy * followed.present).sum() + variables.betas.square().sum()
    if len(followed.times) > 2:
        shaking = acceleration(joints - followed.joints, followed.times) / _SHAKE_SIGMA
        there = followed.present[2:] * followed.present[1:-1] * followed.present[:-2]
        total = total + (pseudo_huber(shaking.square().sum(-1), _FAR).mean(-1) * there).sum()
    return total


def _pull(offset: Tensor, sigma: float) -> Tensor:
    """[T, P] of offsets [T, P, N, 3] in metres."""
    return pseudo_huber((offset / sigma).square().sum(-1), _FAR).sum(-1)
