"""Gauss-Newton, point Jacobians.

Least squares over the frames of a motion: Gauss-Newton steps on a block-banded system.

How points of two skinned bodies move when joints turn: exact derivatives, without a graph.

The correction of a motion that its residuals ask for, by Levenberg and Marquardt's steps.

How far each joint may be turned to close contact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.structures import NUM_BODY_JOINTS

_REACH = 2  # Frames to either side that the smoothness of a frame involves.


@dataclass(frozen=True)
class LinearResiduals:
    """N linearised residuals, each already divided by its standard deviation, of one frame each."""

    frame: Tensor  # [N] int64
    values: Tensor  # [N]
    derivatives: Tensor  # [N, D] with the parameters of that frame

    @staticmethod
    def join(parts: list[LinearResiduals]) -> LinearResiduals:
        """All rows of several."""
        return LinearResiduals(
            *(torch.cat([getattr(p, name) for p in parts]) for name in ("frame", "values", "derivatives"))
        )


def gauss_newton_step(
    rows: LinearResiduals, total: Tensor, inverse_sigmas: Tensor, bends: Tensor, damping: float = 0.0
) -> Tensor:
    """The step [F, D] that minimises rows, the size of the parameters and how unevenly they change over time.

    total [F, D]: the parameters so far. inverse_sigmas [F, D]: of their size. bends [M, F]: linear combinations over
    time, each of at most 3 neighbouring frames, that are to be small in units of the same sigmas. damping: how much the
    step itself is to be small (Levenberg-Marquardt), in units of the weights of the size.
    """
    frames, count = total.shape
    blocks = min(_REACH + 1, frames) if len(bends) else 1
    system = torch.zeros(frames, blocks, count, count)  # Block (f, k) couples frames f and f + k.
    right = torch.zeros(frames, count)
    for frame, index in _by_frame(rows.frame):
        derivatives = rows.derivatives[index]
        system[frame, 0] += derivatives.T @ derivatives
        right[frame] -= derivatives.T @ rows.values[index]
    squared = inverse_sigmas.square()
    scale = squared.mean(0)  # Bends compare frames, so that they share one sigma.
    coupling = bends.T @ bends  # [F, F]
    system[:, 0].diagonal(dim1=-2, dim2=-1).add_((1 + damping) * squared)
    for k in range(blocks):
        along = coupling.diagonal(k)  # [F - k]
        system[: len(along), k].diagonal(dim1=-2, dim2=-1).add_(along[:, None] * scale)
    right -= squared * total + scale * (coupling @ total)
    return _solve(system, right)


def _by_frame(frame: Tensor) -> list[tuple[int, Tensor]]:
    """Each frame that occurs, with the rows that belong to it."""
    order = frame.argsort(stable=True)
    values, counts = frame[order].unique_consecutive(return_counts=True)
    return list(zip(values.tolist(), order.split(counts.tolist()), strict=True))


def _solve(system: Tensor, right: Tensor) -> Tensor:
    """x [F, D] of the symmetric positive definite system [F, K, D, D] (upper blocks), right [F, D].

    Block Cholesky: each frame, once eliminated, changes the two that follow. In single precision, which damping bears.
    """
    frames, blocks, count, _ = system.shape
    ahead = system.new_zeros(_REACH, _REACH + 1, count, count)
    A = torch.cat([F.pad(system, (0, 0, 0, 0, 0, _REACH + 1 - blocks)), ahead])  # [F + 2, 3, D, D]
    b = F.pad(right, (0, 0, 0, _REACH))[..., None]  # [F + 2, D, 1]
    factors, links = [], []
    for f in range(frames):
        factors.append(torch.linalg.cholesky(A[f, 0]))
        beyond = torch.cat([A[f, 1], A[f, 2]], dim=1)  # [D, 2 D]
        links.append(torch.linalg.solve_triangular(factors[f], beyond, upper=False))
        b[f] = torch.linalg.solve_triangular(factors[f], b[f], upper=False)
        near, far = links[f].split(count, dim=1)
        A[f + 1, :2] -= (near.mT @ links[f]).unflatten(1, (2, count)).movedim(1, 0)
        A[f + 2, 0] -= far.mT @ far
        b[f + 1 : f + 3] -= (links[f].mT @ b[f]).unflatten(0, (2, count))
    x = torch.zeros_like(b)
    for f in reversed(range(frames)):
        known = links[f] @ x[f + 1 : f + 3].flatten(0, 1)
        x[f] = torch.linalg.solve_triangular(factors[f].mT, b[f] - known, upper=True)
    return x[:frames, :, 0]


FREE_JOINTS = tuple(j for j in range(NUM_BODY_JOINTS) if not JOINT_NAMES[j].endswith("_foot"))
"""Joints that are turned; toes stay."""
NUM_PARAMETERS = 3 * len(FREE_JOINTS) + 3
"""Of one person: a rotation vector for each free joint in its own frame, and the shift of the pelvis in the world."""


@dataclass(frozen=True)
class Points:
    """N points on the skin, each a mixture of vertices."""

    frame: Tensor  # [N] int64
    person: Tensor  # [N] int64
    vertices: Tensor  # [N, C] int64
    shares: Tensor  # [N, C] of each vertex, summing to 1


class PosedPairs:
    """The bodies of F frames, from which points and their derivatives are taken. The body has no pose correctives."""

    def __init__(self, body: BodyModel, motion: PairMotion) -> None:
        joints_rest = rest_joints(body, motion.betas)  # [F, 2, 55, 3]
        self._rest = shaped_template(body, motion.betas)  # [F, 2, V, 3]
        self._weights = body.skin_weights
        self._turned, joints = forward_kinematics(motion.all_rotations(), joints_rest)
        self.joints = joints + (motion.pelvis - joints_rest[..., 0, :])[..., None, :]
        offsets = self.joints - (self._turned @ joints_rest[..., None])[..., 0]
        self._transforms = torch.cat([self._turned, offsets[..., None]], dim=-1)  # [F, 2, 55, 3, 4]

    def vertices(self) -> Tensor:
        """All vertices [F, 2, V, 3]."""
        blended = (self._weights @ self._transforms.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ self._rest[..., None])[..., 0] + blended[..., 3]

    def positions(self, points: Points) -> Tensor:
        """World positions [N, 3]."""
        return self._carried(points).sum(1)

    def derivatives(self, points: Points, directions: Tensor) -> Tensor:
        """Change [N, NUM_PARAMETERS] of each point along its direction [N, 3] with the parameters of its person."""
        carried = self._carried(points)  # [N, 55, 3]
        below = _BELOW.to(carried)
        share = (self._weights[points.vertices] * points.shares[..., None]).sum(1) @ below.T  # [N, J]
        joints = self.joints[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3]
        lever = below @ carried - share[..., None] * joints
        across = torch.linalg.cross(lever, directions[:, None].expand_as(lever))
        turned = self._turned[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3, 3]
        in_joint = (turned.transpose(-1, -2) @ across[..., None])[..., 0]
        return torch.cat([in_joint.flatten(1), directions], dim=1)

    def _carried(self, points: Points) -> Tensor:
        """[N, 55, 3] what each joint contributes to each position."""
        frame, person = points.frame[:, None], points.person[:, None]
        rest = self._rest[frame, person, points.vertices]  # [N, C, 3]
        weights = self._weights[points.vertices] * points.shares[..., None]  # [N, C, 55]
        moments = torch.einsum("ncj,ncd->njd", weights, rest)
        transforms = self._transforms[points.frame, points.person]  # [N, 55, 3, 4]
        return (transforms[..., :3] @ moments[..., None])[..., 0] + weights.sum(1)[..., None] * transforms[..., 3]


def vertex_points(frame: Tensor, person: Tensor, vertices: Tensor) -> Points:
    """Single vertices [N] as points."""
    return Points(frame, person, vertices[:, None], torch.ones(len(vertices), 1))


def _below() -> Tensor:
    """[J, 55] one where a joint is moved by the free joint, itself included."""
    below = torch.zeros(len(FREE_JOINTS), len(JOINT_INDEX))
    for joint in range(len(JOINT_INDEX)):
        above = joint
        while above >= 0:
            if above in FREE_JOINTS:
                below[FREE_JOINTS.index(above), joint] = 1
            above = PARENTS[above]
    return below


_BELOW = _below()


Residuals = Callable[[PosedPairs, PairMotion], LinearResiduals]
_FIRST_DAMPING = 0.3  # In units of the weight that keeps parameters small.
_GOOD_ENOUGH = 0.005  # A step that lowers the cost by no more than this share is the last one.


def solve_correction(
    motion: PairMotion, body: BodyModel, residuals: Residuals, inverse_sigmas: Tensor, bends: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Turns [F, 2, 22, 3] in radians and shift [F, 2, 3] in metres that make the residuals small.

    inverse_sigmas [F, 2 * NUM_PARAMETERS] and bends [M, F] as in `newton_step`; steps that do not help are not taken.
    """
    best = _Trial(motion, body, residuals, torch.zeros(len(motion), 2, 22, 3), torch.zeros(len(motion), 2, 3))
    lowest = best.cost(inverse_sigmas, bends)
    damping = _FIRST_DAMPING
    if len(best.rows.values) == 0:
        return best.turns, best.shift
    for _ in range(steps):
        step = gauss_newton_step(best.rows, best.total, inverse_sigmas, bends, damping).unflatten(
            1, (2, NUM_PARAMETERS)
        )
        trial = _Trial(motion, body, residuals, *best.stepped(step))
        cost = trial.cost(inverse_sigmas, bends)
        if cost > lowest:
            damping *= 6
            continue
        done = lowest - cost < _GOOD_ENOUGH * lowest
        best, lowest, damping = trial, cost, damping / 4
        if done:
            break
    return best.turns, best.shift


def turned_further(turns: Tensor, further: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of one turn after the other."""
    return matrix_to_axis_angle(axis_angle_to_matrix(turns) @ axis_angle_to_matrix(further))


class _Trial:
    """A correction, and how far the motion with it is from what is wanted."""

    def __init__(self, motion: PairMotion, body: BodyModel, residuals: Residuals, turns: Tensor, shift: Tensor) -> None:
        self.turns, self.shift = turns, shift
        moved = motion.moved(turns, shift)
        self.rows = residuals(PosedPairs(body, moved), moved)
        self.total = torch.cat([turns[:, :, FREE_JOINTS].flatten(2), shift], dim=-1).flatten(1)  # [F, D]

    def cost(self, inverse_sigmas: Tensor, bends: Tensor) -> float:
        """What `newton_step` makes small."""
        size = (self.total * inverse_sigmas).square().sum()
        bent = ((bends @ self.total).square() * inverse_sigmas.square().mean(0)).sum()
        return float(self.rows.values.square().sum() + size + bent)

    def stepped(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Turns and shift after a step [F, 2, NUM_PARAMETERS]."""
        turns = self.turns.clone()
        further = step[..., :-3].unflatten(-1, (-1, 3))
        turns[:, :, FREE_JOINTS] = turned_further(turns[:, :, FREE_JOINTS], further)
        return turns, self.shift + step[..., -3:]


_ARM, _TRUNK, _LEG, _HEAD, _ROOT = 0.30, 0.12, 0.10, 0.15, 0.06  # Radians, standard deviations.
SHIFT = 0.03  # Metres that a pelvis may move.
_FIXED = 1e-3

Legs = tuple[bool, bool]
"""Of the left and the right leg."""


def touching_legs(body: BodyModel, anchors: Tensor) -> tuple[Legs, Legs]:
    """Whether the left and the right leg hold an anchor, of a and of b; anchors [K, 2] vertex ids."""
    moved_by = body.skin_weights.argmax(-1)[anchors]  # [K, 2]
    legs = [[JOINT_INDEX[f"{side}_{name}"] for name in ("knee", "ankle", "foot")] for side in ("left", "right")]
    a, b = (tuple(bool(torch.isin(moved_by[:, p], torch.tensor(leg)).any()) for leg in legs) for p in (0, 1))
    return a, b  # type: ignore[return-value]


def parameter_sigmas(anchors: Tensor, body: BodyModel, rooted: bool = False, shift: float = SHIFT) -> Tensor:
    """Standard deviation [2 * NUM_PARAMETERS] of each parameter; a leg that touches is as free as an arm.

    rooted: pelvis and standing legs do not move; otherwise a pelvis does by `shift` metres.
    """
    people = []
    for legs in touching_legs(body, anchors):
        turns = torch.tensor([_joint_sigma(JOINT_NAMES[joint], legs, rooted) for joint in FREE_JOINTS])
        people.append(torch.cat([turns.repeat_interleave(3), torch.full((3,), _FIXED if rooted else shift)]))
    return torch.cat(people)


def _joint_sigma(name: str, touching: Legs, rooted: bool) -> float:
    side, _, part = name.rpartition("_")
    if part in ("hip", "knee", "ankle"):
        if touching[side == "right"]:
            return _ARM
        return _FIXED if rooted else _LEG
    if part == "pelvis":
        return _FIXED if rooted else _ROOT
    if part in ("neck", "head"):
        return _HEAD
    return _TRUNK if part.startswith("spine") or part == "collar" else _ARM
