"""Moments of captured walking, to walk up to somebody and away again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import geodesic_angle
from closemesh.interactions.clips import Clip
from closemesh.interactions.headings import heading, yaw_matrix

_SPACING = 3  # Frames between two moments.
_SPEEDS = 0.5, 1.8  # m/s of a walk.
_ASTRAY = math.radians(30)  # Between where somebody looks and where he walks.
_STEP = 5  # Frames over which speed is taken.
_COMPARED = {
    **{"pelvis": 2.0, "left_hip": 1.0, "right_hip": 1.0, "left_knee": 0.7, "right_knee": 0.7},
    **{"left_ankle": 0.3, "right_ankle": 0.3, "spine1": 0.5, "spine2": 0.5},
}
_JOINTS = [JOINT_INDEX[name] for name in _COMPARED]


@dataclass(frozen=True)
class Moment:
    """One frame of a clip."""

    clip: Clip
    frame: int


class Walks:
    """All moments of walking in some clips, found by the pose of trunk and legs."""

    def __init__(self, clips: Iterable[Clip]) -> None:
        self._moments = [Moment(clip, frame) for clip in clips for frame in _walking_frames(clip)]
        poses = [_stance(m.clip.rotations[m.frame]) for m in self._moments]
        self._poses = torch.stack(poses) if poses else torch.zeros(0, len(_JOINTS), 3, 3)
        around = [m.clip.captured_around(m.frame) for m in self._moments]
        self._before = torch.tensor([m.frame - first for m, (first, _) in zip(self._moments, around, strict=True)])
        self._after = torch.tensor([last - m.frame for m, (_, last) in zip(self._moments, around, strict=True)])

    def __len__(self) -> int:
        return len(self._moments)

    def nearest(self, rotations: Tensor, count: int, before: float, after: float) -> list[Moment]:
        """The `count` moments whose stance is nearest to a pose [22, 3, 3], with as many captured frames around."""
        usable = ((self._before >= before) & (self._after >= after)).nonzero()[:, 0]
        if len(usable) == 0:
            return []
        angles = geodesic_angle(self._poses[usable], _stance(rotations))  # [M, joints]
        cost = angles.square() @ torch.tensor(list(_COMPARED.values()))
        best = cost.argsort()[: 4 * count]
        return self._spread(usable[best], count)

    def _spread(self, ranked: Tensor, count: int) -> list[Moment]:
        """The first ones, none of them next to another in its clip."""
        chosen: list[Moment] = []
        for index in ranked.tolist():
            moment = self._moments[index]
            if all(c.clip is not moment.clip or abs(c.frame - moment.frame) > 2 * _SPACING for c in chosen):
                chosen.append(moment)
        return chosen[:count]


def _walking_frames(clip: Clip) -> list[int]:
    """Frames, `_SPACING` apart, in which somebody walks ahead with a foot on the ground."""
    if len(clip) <= 2 * _STEP:
        return []
    frames = torch.arange(_STEP, len(clip) - _STEP, _SPACING)
    velocity = (clip.pelvis[frames + _STEP] - clip.pelvis[frames - _STEP]) * clip.fps / (2 * _STEP)
    speed = velocity[:, [0, 2]].norm(dim=-1)
    astray = torch.atan2(velocity[:, 0], velocity[:, 2]) - heading(clip.rotations[frames, 0])
    ahead = torch.cos(astray) > math.cos(_ASTRAY)
    walks = clip.valid[frames] & ahead & (speed > _SPEEDS[0]) & (speed < _SPEEDS[1]) & clip.standing[frames].any(-1)
    return frames[walks].tolist()


def _stance(rotations: Tensor) -> Tensor:
    """The compared joints [joints, 3, 3] of a pose [22, 3, 3], heading taken out."""
    stance = rotations[_JOINTS].clone()
    stance[0] = yaw_matrix(-heading(rotations[0])) @ stance[0]
    return stance
