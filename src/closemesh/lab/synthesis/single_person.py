"""Sitting, kneeling, lying: poses and windows.

Poses of single people that captured motion lacks: sitting, kneeling, lying, crouching, crawling, reaching.

Windows of single people as no captured clip shows them: they sit, kneel, lie, crouch, crawl or reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.energy_terms import Person, person_energy
from closemesh.lab.synthesis.initial_poses import begin, synthetic_start
from closemesh.lab.synthesis.key_poses import SourcePoses
from closemesh.lab.synthesis.motion_blending import living_turns
from closemesh.lab.synthesis.pair_motion import HeldContact, PairMotion
from closemesh.lab.synthesis.posed_bodies import BatchedBodies, PoseVariables, hand_shapes, minimize_batch
from closemesh.lab.synthesis.quality_checks import Tolerances, measure_frames
from closemesh.lab.synthesis.surface_points import find_marks
from closemesh.lab.synthesis.templates.schema import POSTURES, PersonTemplate
from closemesh.lab.synthesis.timing import smooth_step
from closemesh.lab.synthesis.windows import Bodies, Window
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.pose_prior import load_pose_prior

_STEPS = 80
_LEARNING_RATE = 0.12
_LARGEST_BETA = 2.0
_LARGEST_EXCESS = 0.07  # Radians beyond a joint's range of a pose that is accepted.
_LARGEST_FLOAT = 0.015  # Metres of a support above or below the floor.


@dataclass(frozen=True)
class Postures:
    """N synthetic poses of one kind. Frame: world, floor y = 0, the person looks along +z. Metres, radians."""

    kind: str
    betas: Tensor  # [N, B]
    root: Tensor  # [N, 3] axis-angle of R_world_root
    body_pose: Tensor  # [N, 21, 3] axis-angle
    hand_pose: Tensor  # [N, 30, 3] axis-angle
    pelvis: Tensor  # [N, 3]
    accepted: Tensor  # [N] bool: on the floor and within the joints' limits

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

    Kinds that start from captured poses need `sources`. Raises KeyError for a kind that is none, and ValueError when
    it lacks sources.
    """
    posture = POSTURES[kind]
    body = (body or load_bundled_body("light")).to(device)
    like = body.v_template
    betas = random_betas(count, body.num_betas, generator).to(like) if betas is None else betas.to(like)
    role = PersonTemplate(kind)
    if posture.captured:
        if sources is None:
            raise ValueError(f"the posture {kind} starts from captured poses; give sources")
        root, body_pose, _ = sources.draw(count, generator)
        role = PersonTemplate(kind, left_arm=posture.left_arm, right_arm=posture.right_arm, lean=posture.lean)
    else:
        root, body_pose = synthetic_start(posture, count, generator, like)
    hands = hand_shapes(body, [role.hands] * count)
    marks, prior = find_marks(body), load_pose_prior().to(device)
    person = begin(body, marks, role, betas, hands, root.to(like), body_pose.to(like), generator)

    def energy(bodies: BatchedBodies, step: int) -> Tensor:
        return person_energy(person, person.shapes.pose(bodies[0]), bodies[0], marks, prior)

    (solved,) = minimize_batch([person.start], energy, _STEPS, _LEARNING_RATE)
    floating = floor_errors(person, solved)
    excess = joint_limit_excess(solved.body_pose).amax((-1, -2))
    accepted = (floating < _LARGEST_FLOAT) & (excess < _LARGEST_EXCESS)
    fingers = person.shapes.finger_pose(solved)
    return Postures(kind, betas, solved.root, solved.body_pose, fingers, solved.pelvis, accepted)


def floor_errors(person: Person, solved: PoseVariables) -> Tensor:
    """[N] metres of the support that is farthest from the floor; 0 for somebody whom the floor does not bear."""
    posed = person.shapes.pose(solved)
    heights = [posed.points(ids)[..., 1].amin(-1).abs() for ids in person.supports]
    return torch.stack([torch.zeros_like(solved.pelvis[:, 0]), *heights]).amax(0)


def random_betas(count: int, num_betas: int, generator: torch.Generator) -> Tensor:
    """Shapes [count, B] as varied as people, without the rarest."""
    return torch.randn(count, num_betas, generator=generator).clamp(-_LARGEST_BETA, _LARGEST_BETA)


KINDS = tuple(name for name in POSTURES if name not in ("standing", "standing_on_left_foot", "carried"))
_LENGTHS = 60, 105  # Frames.
_CHANGE = 0.4, 0.9  # Share of the window in which one pose becomes the other.
_SMOOTH = 3.0  # Frames, over which the height above the floor is evened.


def make_posture_windows(
    kind: str, count: int, sources: SourcePoses, bodies: Bodies, generator: torch.Generator, tolerances: Tolerances
) -> tuple[int, Iterator[Window]]:
    """How many of `count` pairs of key poses were found, and a window that goes from one to the other for each.

    kind: one of KINDS. `faults` of a window says what is out of range.
    """
    betas = random_betas(count, bodies.light.num_betas, generator).repeat_interleave(2, dim=0)
    solved = solve_postures(kind, 2 * count, generator, sources, betas, bodies.light)
    found = [k for k in range(count) if solved.accepted[2 * k : 2 * k + 2].all()]
    return len(found), (_window(solved, 2 * k, bodies, generator, tolerances) for k in found)


def _window(solved: Postures, first: int, bodies: Bodies, generator: torch.Generator, tolerances: Tolerances) -> Window:
    length = int(torch.randint(*_LENGTHS, (), generator=generator))
    # Captured stances differ in where the feet stand: somebody on his feet keeps the one that he has.
    share = torch.zeros(length) if POSTURES[solved.kind].captured else _share(length, generator)
    motion = _between(solved, first, share)
    motion = motion.moved(living_turns(length, generator)[:, :1], torch.zeros(length, 1, 3))
    motion = _rest_on_floor(motion, bodies)
    nothing = torch.zeros(length, dtype=torch.bool)
    errors = measure_frames(motion, nothing, bodies.fine, bodies.soles)
    held = HeldContact(torch.zeros(0, 2, dtype=torch.int64), ())
    return Window(solved.kind, motion, nothing, held, errors, errors.faults(tolerances))


def _share(length: int, generator: torch.Generator) -> Tensor:
    """[length] from 0 to 1, smoothly, over a part of the window."""
    part, place = torch.rand(2, generator=generator).tolist()
    span = (_CHANGE[0] + (_CHANGE[1] - _CHANGE[0]) * part) * length
    return smooth_step((torch.arange(length) - place * (length - span)) / span)


def _between(solved: Postures, first: int, share: Tensor) -> PairMotion:
    """From pose `first` to the next one; one person in the place of two."""
    pose = torch.cat([solved.root[:, None], solved.body_pose], dim=1)[first : first + 2]  # [2, 22, 3]
    now, then = axis_angle_to_matrix(pose)
    hands, pelvis = (value[first : first + 2] for value in (solved.hand_pose, solved.pelvis))
    turn = matrix_to_axis_angle(now.mT @ then)
    return PairMotion(
        betas=solved.betas[first].expand(len(share), 1, -1),
        rotations=(now @ axis_angle_to_matrix(share[:, None, None] * turn))[:, None],
        hand_pose=torch.lerp(hands[0], hands[1], share[:, None, None])[:, None],
        pelvis=torch.lerp(pelvis[0], pelvis[1], share[:, None])[:, None],
    )


def _rest_on_floor(motion: PairMotion, bodies: Bodies) -> PairMotion:
    """Raised or lowered so that the lowest point of the body is on the floor."""
    height = motion.skin(bodies.light)[0][..., 1].amin((1, 2))  # [T]
    rise = torch.as_tensor(gaussian_filter1d(height.numpy(), _SMOOTH, mode="nearest"))
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= rise[:, None]
    return replace(motion, pelvis=pelvis)
