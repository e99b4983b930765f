"""Poses and windows of single people in postures that captured motion lacks: sitting, kneeling, lying, crawling, ..."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.energy_terms import person_energy, support_errors
from closemesh.lab.synthesis.initial_poses import InitialPose, apply_template, posture_pose
from closemesh.lab.synthesis.key_poses import SourcePoses
from closemesh.lab.synthesis.motion_blending import idle_motion
from closemesh.lab.synthesis.pair_motion import HEIGHT_SIGMA, HeldContact, PairMotion
from closemesh.lab.synthesis.posed_bodies import BatchedBodies, hand_shapes, minimize_batch, random_betas
from closemesh.lab.synthesis.quality_checks import Tolerances, measure_frames
from closemesh.lab.synthesis.surface_points import find_surface_points
from closemesh.lab.synthesis.templates.schema import POSTURES, PersonTemplate
from closemesh.lab.synthesis.timing import smooth_step
from closemesh.lab.synthesis.windows import LENGTHS, BodyVariants, Window
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.pose_prior import load_pose_prior

_STEPS = 80
_LEARNING_RATE = 0.12
_MAX_LIMIT_EXCESS = 0.07  # Radians beyond a joint's range of an accepted pose.
_MAX_SUPPORT_ERROR = 0.015  # Meters of a support above or below the floor.


@dataclass(frozen=True)
class Postures:
    """N synthetic poses of one kind. Frame: world, floor y = 0, the person faces +z. Meters, radians."""

    kind: str
    betas: Tensor  # [N, B]
    root: Tensor  # [N, 3] axis-angle of R_world_root
    body_pose: Tensor  # [N, 21, 3] axis-angle
    hand_pose: Tensor  # [N, 30, 3] axis-angle
    pelvis: Tensor  # [N, 3]
    accepted: Tensor  # [N] bool: on the floor and within the joint limits

    def __len__(self) -> int:
        return len(self.betas)


def solve_postures(
    kind: str,
    count: int,
    generator: torch.Generator,
    sources: SourcePoses | None = None,
    betas: Tensor | None = None,
    body: BodyModel | None = None,
    device: torch.device | str = "cpu",
) -> Postures:
    """`count` poses of a kind of POSTURES, on bodies of random shapes or of betas [count, B].

    Kinds that start from captured poses need `sources`. Raises KeyError for an unknown kind, ValueError for missing
    sources.
    """
    posture = POSTURES[kind]
    body = (body or load_bundled_body("light")).to(device)
    like = body.v_template
    betas = random_betas(count, body.num_betas, generator).to(like) if betas is None else betas.to(like)
    template = PersonTemplate(kind)
    if posture.captured:
        if sources is None:
            raise ValueError(f"the posture {kind} starts from captured poses; give sources")
        root, body_pose, _ = sources.draw(count, generator)
        template = PersonTemplate(kind, left_arm=posture.left_arm, right_arm=posture.right_arm, lean=posture.lean)
    else:
        root, body_pose = posture_pose(posture, count, generator, like)
    hands = hand_shapes(body, [template.hands] * count)
    points, prior = find_surface_points(body), load_pose_prior().to(device)
    pose = InitialPose(betas, hands, root.to(like), body_pose.to(like))
    person = apply_template(body, points, template, pose, generator)

    def energy(bodies: BatchedBodies, step: int) -> Tensor:
        return person_energy(person, person.shapes.pose(bodies[0]), bodies[0], points, prior)

    (solved,) = minimize_batch([person.start], energy, _STEPS, _LEARNING_RATE)
    excess = joint_limit_excess(solved.body_pose).amax((-1, -2))
    accepted = (support_errors(person, solved) < _MAX_SUPPORT_ERROR) & (excess < _MAX_LIMIT_EXCESS)
    fingers = person.shapes.finger_pose(solved)
    return Postures(kind, betas, solved.root, solved.body_pose, fingers, solved.pelvis, accepted)


_OF_PAIRS = ("standing", "standing_on_left_foot", "carried", "lying_in_guard", "half_sitting_in_bed")
KINDS = tuple(name for name in POSTURES if name not in _OF_PAIRS)
_CHANGE = 0.4, 0.9  # Fraction of the window in which one pose becomes the other.


def make_posture_windows(
    kind: str,
    count: int,
    sources: SourcePoses,
    bodies: BodyVariants,
    generator: torch.Generator,
    tolerances: Tolerances,
) -> tuple[int, Iterator[Window]]:
    """Number of solved pairs of poses among `count`, and a window from one pose to the other for each.

    kind: one of KINDS. `faults` of a window names the errors beyond tolerance.
    """
    betas = random_betas(count, bodies.light.num_betas, generator).repeat_interleave(2, dim=0)
    solved = solve_postures(kind, 2 * count, generator, sources, betas, bodies.light)
    found = [k for k in range(count) if solved.accepted[2 * k : 2 * k + 2].all()]
    return len(found), (_make_window(solved, 2 * k, bodies, generator, tolerances) for k in found)


def _make_window(
    solved: Postures, first: int, bodies: BodyVariants, generator: torch.Generator, tolerances: Tolerances
) -> Window:
    """The window from pose `first` to the next one."""
    length = int(torch.randint(*LENGTHS, (), generator=generator))
    # Captured stances differ in the positions of the feet: a standing person keeps the first pose.
    weight = torch.zeros(length) if POSTURES[solved.kind].captured else _change_weight(length, generator)
    motion = _between(solved, first, weight)
    motion = motion.corrected(idle_motion(length, generator)[:, :1], torch.zeros(length, 1, 3))
    motion = _rest_on_floor(motion, bodies)
    contact = torch.zeros(length, dtype=torch.bool)
    errors = measure_frames(motion, contact, bodies.fine, bodies.soles)
    return Window(solved.kind, motion, contact, HeldContact.none(), errors, errors.faults(tolerances))


def _change_weight(length: int, generator: torch.Generator) -> Tensor:
    """[length] a smooth step from 0 to 1 over a random part of the window."""
    duration, start = torch.rand(2, generator=generator).tolist()
    span = (_CHANGE[0] + (_CHANGE[1] - _CHANGE[0]) * duration) * length
    return smooth_step((torch.arange(length) - start * (length - span)) / span)


def _between(solved: Postures, first: int, weight: Tensor) -> PairMotion:
    """Motion of one person from pose `first` to the next one; weight [T] of the latter."""
    pose = torch.cat([solved.root[:, None], solved.body_pose], dim=1)[first : first + 2]  # [2, 22, 3]
    start, end = axis_angle_to_matrix(pose)
    hands, pelvis = (value[first : first + 2] for value in (solved.hand_pose, solved.pelvis))
    turn = matrix_to_axis_angle(start.mT @ end)
    return PairMotion(
        betas=solved.betas[first].expand(len(weight), 1, -1),
        rotations=(start @ axis_angle_to_matrix(weight[:, None, None] * turn))[:, None],
        hand_pose=torch.lerp(hands[0], hands[1], weight[:, None, None])[:, None],
        pelvis=torch.lerp(pelvis[0], pelvis[1], weight[:, None])[:, None],
    )


def _rest_on_floor(motion: PairMotion, bodies: BodyVariants) -> PairMotion:
    """The motion raised or lowered smoothly so that the lowest vertex of the body is on the floor."""
    height = motion.skin(bodies.light)[0][..., 1].amin((1, 2))  # [T]
    rise = torch.as_tensor(gaussian_filter1d(height.numpy(), HEIGHT_SIGMA, mode="nearest"))
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= rise[:, None]
    return replace(motion, pelvis=pelvis)
