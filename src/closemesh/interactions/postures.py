"""Poses of single people that captured motion lacks: sitting, kneeling, lying, crouching, crawling, reaching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.load import load_open_body
from closemesh.body.model import BodyModel
from closemesh.energy.limits import beyond_limits
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.interactions.descend import Bodies, descend
from closemesh.interactions.hands import hand_shapes
from closemesh.interactions.marks import find_marks
from closemesh.interactions.person import begin, synthetic_start
from closemesh.interactions.person_energy import Person, person_energy
from closemesh.interactions.posed_bodies import PoseVariables
from closemesh.interactions.posture import POSTURES
from closemesh.interactions.recipe import Role
from closemesh.interactions.sources import SourcePoses

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
    body = (body or load_open_body("light")).to(device)
    like = body.v_template
    betas = random_betas(count, body.num_betas, generator).to(like) if betas is None else betas.to(like)
    role = Role(kind)
    if posture.captured:
        if sources is None:
            raise ValueError(f"the posture {kind} starts from captured poses; give sources")
        root, body_pose, _ = sources.draw(count, generator)
        role = Role(kind, left_arm=posture.left_arm, right_arm=posture.right_arm, lean=posture.lean)
    else:
        root, body_pose = synthetic_start(posture, count, generator, like)
    hands = hand_shapes(body, [role.hands] * count)
    marks, prior = find_marks(body), load_pose_prior().to(device)
    person = begin(body, marks, role, betas, hands, root.to(like), body_pose.to(like), generator)

    def energy(bodies: Bodies, step: int) -> Tensor:
        return person_energy(person, person.shapes.pose(bodies[0]), bodies[0], marks, prior)

    (solved,) = descend([person.start], energy, _STEPS, _LEARNING_RATE)
    floating = floor_errors(person, solved)
    excess = beyond_limits(solved.body_pose).amax((-1, -2))
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
