"""Gauss-Newton over the frames of a pair's motion, with exact Jacobians of points on the skin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from closemesh.body.skinning import forward_kinematics, rest_joints, shaped_template
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.structures import NUM_BODY_JOINTS

FREE_JOINTS = tuple(j for j in range(NUM_BODY_JOINTS) if not JOINT_NAMES[j].endswith("_foot"))
"""Joints that a correction turns; toes do not move."""
NUM_PARAMETERS = 3 * len(FREE_JOINTS) + 3
"""Of one person: a rotation vector of each free joint in its own frame, then the offset of the pelvis in the world."""
_BANDWIDTH = 2  # Frames to either side that smoothness couples to a frame.


@dataclass(frozen=True)
class LinearResiduals(TensorDataclass):
    """N linearized residuals of single frames, divided by their standard deviation."""

    frame: Tensor  # [N] int64
    values: Tensor  # [N]
    jacobians: Tensor  # [N, D] with respect to the parameters of the frame


@dataclass(frozen=True)
class CorrectionPrior:
    """Gaussian prior of a correction [F, D]: its size, and its change over time."""

    inv_sigma: Tensor  # [F, D]
    differences: Tensor  # [M, F] combinations of at most 3 neighboring frames that should be 0


def gauss_newton_step(
    residuals: LinearResiduals, total: Tensor, prior: CorrectionPrior, damping: float = 0.0
) -> Tensor:
    """The step [F, D] that minimizes the squares of the residuals plus the prior of the parameters.

    total [F, D]: the parameters so far. damping: weight of the size of the step itself (Levenberg-Marquardt), relative
    to the prior of the size.
    """
    frames, count = total.shape
    blocks = min(_BANDWIDTH + 1, frames) if len(prior.differences) else 1
    system = torch.zeros(frames, blocks, count, count)  # Block (f, k) couples frames f and f + k.
    right = torch.zeros(frames, count)
    for frame, index in _by_frame(residuals.frame):
        jacobians = residuals.jacobians[index]
        system[frame, 0] += jacobians.T @ jacobians
        right[frame] -= jacobians.T @ residuals.values[index]
    squared = prior.inv_sigma.square()
    scale = squared.mean(0)  # Differences compare frames, which need a common sigma.
    coupling = prior.differences.T @ prior.differences  # [F, F]
    system[:, 0].diagonal(dim1=-2, dim2=-1).add_((1 + damping) * squared)
    for k in range(blocks):
        along = coupling.diagonal(k)  # [F - k]
        system[: len(along), k].diagonal(dim1=-2, dim2=-1).add_(along[:, None] * scale)
    right -= squared * total + scale * (coupling @ total)
    return _solve_banded(system, right)


def _by_frame(frame: Tensor) -> list[tuple[int, Tensor]]:
    """Each frame of frame [N], with the indices of its residuals."""
    order = frame.argsort(stable=True)
    values, counts = frame[order].unique_consecutive(return_counts=True)
    return list(zip(values.tolist(), order.split(counts.tolist()), strict=True))


def _solve_banded(system: Tensor, right: Tensor) -> Tensor:
    """x [F, D] of the symmetric positive definite system [F, K, D, D] (upper blocks), right [F, D].

    Block Cholesky: eliminating a frame changes the two that follow. Damping makes single precision sufficient.
    """
    frames, blocks, count, _ = system.shape
    padding = system.new_zeros(_BANDWIDTH, _BANDWIDTH + 1, count, count)
    A = torch.cat([F.pad(system, (0, 0, 0, 0, 0, _BANDWIDTH + 1 - blocks)), padding])  # [F + 2, 3, D, D]
    b = F.pad(right, (0, 0, 0, _BANDWIDTH))[..., None]  # [F + 2, D, 1]
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


@dataclass(frozen=True)
class BodyPoints(TensorDataclass):
    """N points on the skin, each a weighted mean of vertices of one person in one frame."""

    frame: Tensor  # [N] int64
    person: Tensor  # [N] int64
    vertices: Tensor  # [N, C] int64
    weights: Tensor  # [N, C] of each vertex, with sum 1


def vertex_points(frame: Tensor, person: Tensor, vertices: Tensor) -> BodyPoints:
    """Single vertices [N] as points; frame [N], person [N]."""
    return BodyPoints(frame, person, vertices[:, None], torch.ones(len(vertices), 1))


class PosedPairs:
    """Bodies of F frames of two people, with positions and Jacobians of points. The body has no pose correctives."""

    def __init__(self, body: BodyModel, motion: PairMotion) -> None:
        joints_rest = rest_joints(body, motion.betas)  # [F, 2, 55, 3]
        self._rest = shaped_template(body, motion.betas)  # [F, 2, V, 3]
        self._skin_weights = body.skin_weights
        self._rotations, joints = forward_kinematics(motion.all_rotations(), joints_rest)
        self.joints = joints + (motion.pelvis - joints_rest[..., 0, :])[..., None, :]
        offsets = self.joints - (self._rotations @ joints_rest[..., None])[..., 0]
        self._transforms = torch.cat([self._rotations, offsets[..., None]], dim=-1)  # [F, 2, 55, 3, 4]

    def vertices(self) -> Tensor:
        """World-frame vertices [F, 2, V, 3] in meters."""
        blended = (self._skin_weights @ self._transforms.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ self._rest[..., None])[..., 0] + blended[..., 3]

    def positions(self, points: BodyPoints) -> Tensor:
        """World positions [N, 3] in meters."""
        return self._contributions(points).sum(1)

    def point_jacobians(self, points: BodyPoints, directions: Tensor) -> Tensor:
        """Derivatives [N, NUM_PARAMETERS] of the positions along directions [N, 3], by the point's own person."""
        contributions = self._contributions(points)  # [N, 55, 3]
        descendants = _DESCENDANTS.to(contributions)
        weight = (self._skin_weights[points.vertices] * points.weights[..., None]).sum(1) @ descendants.T  # [N, J]
        joints = self.joints[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3]
        arm = descendants @ contributions - weight[..., None] * joints
        torque = torch.linalg.cross(arm, directions[:, None].expand_as(arm))
        rotations = self._rotations[points.frame, points.person][:, FREE_JOINTS]  # [N, J, 3, 3]
        in_joint = (rotations.transpose(-1, -2) @ torque[..., None])[..., 0]
        return torch.cat([in_joint.flatten(1), directions], dim=1)

    def _contributions(self, points: BodyPoints) -> Tensor:
        """[N, 55, 3] part of each position that each joint contributes by linear blend skinning."""
        frame, person = points.frame[:, None], points.person[:, None]
        rest = self._rest[frame, person, points.vertices]  # [N, C, 3]
        weights = self._skin_weights[points.vertices] * points.weights[..., None]  # [N, C, 55]
        moments = torch.einsum("ncj,ncd->njd", weights, rest)
        transforms = self._transforms[points.frame, points.person]  # [N, 55, 3, 4]
        return (transforms[..., :3] @ moments[..., None])[..., 0] + weights.sum(1)[..., None] * transforms[..., 3]


def _descendant_matrix() -> Tensor:
    """[J, 55] 1 where a free joint is an ancestor of the joint, or the joint itself."""
    descendants = torch.zeros(len(FREE_JOINTS), len(JOINT_INDEX))
    for joint in range(len(JOINT_INDEX)):
        ancestor = joint
        while ancestor >= 0:
            if ancestor in FREE_JOINTS:
                descendants[FREE_JOINTS.index(ancestor), joint] = 1
            ancestor = PARENTS[ancestor]
    return descendants


_DESCENDANTS = _descendant_matrix()


Residuals = Callable[[PosedPairs, PairMotion], LinearResiduals]
_INITIAL_DAMPING = 0.3  # Relative to the prior of the size.
_MIN_IMPROVEMENT = 0.005  # Relative decrease of the cost below which the steps end.


def solve_correction(
    motion: PairMotion, body: BodyModel, residuals: Residuals, prior: CorrectionPrior, steps: int
) -> tuple[Tensor, Tensor]:
    """Rotation vectors [F, 2, 22, 3] in radians and pelvis offsets [F, 2, 3] in meters that make the residuals small.

    At most `steps` Levenberg-Marquardt steps, with D = 2 * NUM_PARAMETERS; steps that raise the cost are rejected.
    """
    best = _Trial(motion, body, residuals, (torch.zeros(len(motion), 2, 22, 3), torch.zeros(len(motion), 2, 3)))
    lowest = best.cost(prior)
    damping = _INITIAL_DAMPING
    if len(best.residuals.values) == 0:
        return best.rotvecs, best.offset
    for _ in range(steps):
        step = gauss_newton_step(best.residuals, best.total, prior, damping).unflatten(1, (2, NUM_PARAMETERS))
        trial = _Trial(motion, body, residuals, best.stepped(step))
        cost = trial.cost(prior)
        if cost > lowest:
            damping *= 6
            continue
        done = lowest - cost < _MIN_IMPROVEMENT * lowest
        best, lowest, damping = trial, cost, damping / 4
        if done:
            break
    return best.rotvecs, best.offset


def compose_rotvecs(first: Tensor, second: Tensor) -> Tensor:
    """Rotation vector [..., 3] of first [..., 3], followed by second [..., 3] in the turned frame."""
    return matrix_to_axis_angle(axis_angle_to_matrix(first) @ axis_angle_to_matrix(second))


class _Trial:
    """A correction and the residuals of the corrected motion."""

    def __init__(
        self, motion: PairMotion, body: BodyModel, residuals: Residuals, correction: tuple[Tensor, Tensor]
    ) -> None:
        """correction: rotation vectors [F, 2, 22, 3] and pelvis offsets [F, 2, 3]."""
        self.rotvecs, self.offset = correction
        corrected = motion.corrected(self.rotvecs, self.offset)
        self.residuals = residuals(PosedPairs(body, corrected), corrected)
        self.total = torch.cat([self.rotvecs[:, :, FREE_JOINTS].flatten(2), self.offset], dim=-1).flatten(1)  # [F, D]

    def cost(self, prior: CorrectionPrior) -> float:
        """The cost that `gauss_newton_step` minimizes."""
        size = (self.total * prior.inv_sigma).square().sum()
        change = ((prior.differences @ self.total).square() * prior.inv_sigma.square().mean(0)).sum()
        return float(self.residuals.values.square().sum() + size + change)

    def stepped(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The correction after a step [F, 2, NUM_PARAMETERS]."""
        rotvecs = self.rotvecs.clone()
        change = step[..., :-3].unflatten(-1, (-1, 3))
        rotvecs[:, :, FREE_JOINTS] = compose_rotvecs(rotvecs[:, :, FREE_JOINTS], change)
        return rotvecs, self.offset + step[..., -3:]


# Standard deviations of corrections, in radians of a joint and in meters of the pelvis.
_ARM_SIGMA, _TRUNK_SIGMA, _LEG_SIGMA, _HEAD_SIGMA, _ROOT_SIGMA, _PELVIS_SIGMA = 0.30, 0.12, 0.10, 0.15, 0.06, 0.03
_FIXED_SIGMA = 1e-3

Legs = tuple[bool, bool]
"""Of the left and the right leg."""


def legs_in_contact(body: BodyModel, anchors: Tensor) -> tuple[Legs, Legs]:
    """Whether the left and the right lower leg has an anchor, for a and for b; anchors [K, 2] vertex ids."""
    joint = body.skin_weights.argmax(-1)[anchors]  # [K, 2]
    legs = [[JOINT_INDEX[f"{side}_{name}"] for name in ("knee", "ankle", "foot")] for side in ("left", "right")]
    a, b = (tuple(bool(torch.isin(joint[:, p], torch.tensor(leg)).any()) for leg in legs) for p in (0, 1))
    return a, b  # type: ignore[return-value]


def parameter_sigmas(anchors: Tensor, body: BodyModel, fix_stance: bool = False) -> Tensor:
    """Standard deviation [2 * NUM_PARAMETERS] of each parameter; anchors [K, 2].

    A leg in contact may move as much as an arm. fix_stance: pelvis and all other legs do not move.
    """
    people = []
    for legs in legs_in_contact(body, anchors):
        sigmas = torch.tensor([_joint_sigma(JOINT_NAMES[joint], legs, fix_stance) for joint in FREE_JOINTS])
        pelvis = torch.full((3,), _FIXED_SIGMA if fix_stance else _PELVIS_SIGMA)
        people.append(torch.cat([sigmas.repeat_interleave(3), pelvis]))
    return torch.cat(people)


def _joint_sigma(name: str, in_contact: Legs, fix_stance: bool) -> float:
    """Radians of one joint."""
    side, _, part = name.rpartition("_")
    if part in ("hip", "knee", "ankle"):
        if in_contact[side == "right"]:
            return _ARM_SIGMA
        return _FIXED_SIGMA if fix_stance else _LEG_SIGMA
    if part == "pelvis":
        return _FIXED_SIGMA if fix_stance else _ROOT_SIGMA
    if part in ("neck", "head"):
        return _HEAD_SIGMA
    return _TRUNK_SIGMA if part.startswith("spine") or part == "collar" else _ARM_SIGMA
