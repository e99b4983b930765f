"""The same window otherwise: faster or slower, mirrored, turned, moved, the two people exchanged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, other_side
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.headings import yaw_matrix
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.recipe import Touch
from closemesh.scene import NUM_BODY_JOINTS

_OTHER_JOINT = [JOINT_INDEX[other_side(name)] for name in JOINT_NAMES[:NUM_BODY_JOINTS]]
_FLIP = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Held:
    """What is held in a window, by place and by name."""

    anchors: Tensor  # [K, 2] int64, vertices of a and of b
    touches: tuple[Touch, ...]  # K


def played_at(motion: PairMotion, frames: Tensor) -> PairMotion:
    """The motion at moments [T] between its frames."""
    before = frames.floor().long().clamp(max=max(len(motion) - 2, 0))
    after = (before + 1).clamp(max=len(motion) - 1)
    share = frames - before  # [T]
    here, there = motion.frames(before), motion.frames(after)
    turns = matrix_to_axis_angle(here.rotations.mT @ there.rotations) * share[:, None, None, None]
    return PairMotion(
        betas=here.betas,
        rotations=here.rotations @ axis_angle_to_matrix(turns),
        hand_pose=torch.lerp(here.hand_pose, there.hand_pose, share[:, None, None, None]),
        pelvis=torch.lerp(here.pelvis, there.pelvis, share[:, None, None]),
    )


def mirror(motion: PairMotion) -> PairMotion:
    """Left and right exchanged, in the plane x = 0. Shapes are symmetric to within a millimetre, so they stay."""
    flip = torch.diag(_FLIP)
    left, right = motion.hand_pose.chunk(2, dim=2)
    hands = torch.cat([right, left], dim=2) * -_FLIP  # A rotation vector keeps its x and changes y and z.
    return replace(
        motion,
        rotations=flip @ motion.rotations[:, :, _OTHER_JOINT] @ flip,
        hand_pose=hands,
        pelvis=motion.pelvis * _FLIP,
    )


def mirror_standing(standing: Tensor) -> Tensor:
    """Standing feet [T, 2, 2] with left and right exchanged."""
    return standing.flip(-1)


def mirror_held(held: Held, body: BodyModel) -> Held:
    """The vertices and regions of the other side; anchors of the given body, the nearest vertex standing for each."""
    wanted = body.v_template[held.anchors] * _FLIP.to(body.v_template)
    anchors = torch.cdist(wanted.flatten(0, 1), body.v_template).argmin(-1).view_as(held.anchors)
    return Held(anchors, tuple(replace(t, a=other_side(t.a), b=other_side(t.b)) for t in held.touches))


def swap(motion: PairMotion) -> PairMotion:
    """Person a becomes b."""
    return PairMotion(motion.betas.flip(1), motion.rotations.flip(1), motion.hand_pose.flip(1), motion.pelvis.flip(1))


def swap_held(held: Held) -> Held:
    """The same touches after `swap`."""
    return Held(held.anchors.flip(1), tuple(replace(t, a=t.b, b=t.a) for t in held.touches))


def turn(motion: PairMotion, yaw: Tensor, to: Tensor) -> PairMotion:
    """Turned about the vertical by yaw [] radians; the middle of the first frame comes to `to` [2] (x, z), metres."""
    R = yaw_matrix(yaw)
    pelvis = motion.pelvis @ R.T
    middle = pelvis[0, :, [0, 2]].mean(0)
    pelvis = pelvis.clone()
    pelvis[..., [0, 2]] += to - middle
    rotations = torch.cat([(R @ motion.rotations[:, :, 0])[:, :, None], motion.rotations[:, :, 1:]], dim=2)
    return replace(motion, rotations=rotations, pelvis=pelvis)
