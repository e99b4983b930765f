"""Poses pairs of people so that chosen regions of their bodies touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.query_body import query_body
from closemesh.energy.pose_prior import PosePrior, load_pose_prior
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interactions.anchors import draw_anchors, nearest_anchors
from closemesh.interactions.check import FLOOR, check_pairs
from closemesh.interactions.descend import descend
from closemesh.interactions.hands import hand_shapes
from closemesh.interactions.key_poses import KeyPoses, SourceFrame
from closemesh.interactions.marks import Marks, find_marks
from closemesh.interactions.mass import centre_of_mass
from closemesh.interactions.pair_energy import (
    DeepPoints,
    Pairs,
    crossing_energy,
    placement_energy,
    search_crossings,
    touch_energy,
)
from closemesh.interactions.person import begin, synthetic_start, turned
from closemesh.interactions.person_energy import Person, balance_energy, person_energy
from closemesh.interactions.posed_bodies import PosedBodies, PoseVariables
from closemesh.interactions.posture import POSTURES
from closemesh.interactions.postures import floor_errors, random_betas
from closemesh.interactions.recipe import Recipe, Role
from closemesh.interactions.spheres import sphere_energy
from closemesh.interactions.sources import SourcePoses


@dataclass(frozen=True)
class SolveSchedule:
    """How long and how hard the solver works."""

    steps: int = 150
    learning_rate: float = 0.04
    first_search: float = 0.4
    """Share of the steps before crossings of the meshes are searched; until then the spheres do."""
    search_every: int = 8
    touch_sigmas: tuple[float, float] = (0.10, 0.004)
    """Metres between two anchors at a cost of one, at the start and from `settled` on."""
    crossing_sigmas: tuple[float, float] = (0.02, 0.004)
    """Metres of depth, likewise."""
    settled: float = 0.75
    """Share of the steps after which the weights stay."""
    anchor_again: tuple[float, ...] = (0.35, 0.65)
    """Shares of the steps at which each touch takes the nearest vertices of its regions."""
    sphere_sigma: float = 0.01
    """Metres of overlap of two inner spheres at a cost of one."""
    sphere_shrink: float = 0.93
    """Of the radii of the inner spheres, which bulge out of flat places."""
    placement: float = 0.15
    """Metres that the two may come nearer or go apart at a cost of one."""


_LOOSE = 4.0  # Times the standard deviation of a touch that only guides.
DEFAULT_SCHEDULE = SolveSchedule()


def solve_key_poses(
    recipe: Recipe,
    sources: SourcePoses,
    body: BodyModel,
    count: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    schedule: SolveSchedule = DEFAULT_SCHEDULE,
) -> KeyPoses:
    """`count` attempts at a recipe, all solved together; `accepted` says which of them succeeded.

    a stands near the origin and looks along +z; bodies have random shapes. `body` is any variant of the open body;
    poses are solved on its coarse query body and measured on its fine one.
    """
    coarse = query_body(body, "coarse").to(device)
    marks = find_marks(coarse)
    pairs, began = _begin_pairs(recipe, sources, coarse, marks, count, generator)
    solver = _Solver(recipe, pairs, coarse, marks, schedule)
    a, b = descend([pairs.a.start, pairs.b.start], solver.energy, schedule.steps, schedule.learning_rate)
    return _measured(recipe, body.to(device), solver.pairs, (a, b), began)


class _Solver:
    """The energy of a batch of pairs, and what it remembers between steps: crossings and anchors."""

    def __init__(self, recipe: Recipe, pairs: Pairs, body: BodyModel, marks: Marks, schedule: SolveSchedule) -> None:
        self.pairs = pairs
        self._recipe, self._body, self._schedule = recipe, body, schedule
        self._drawn = pairs.anchors
        self._marks = marks
        self._looseness = torch.tensor([1.0 if t.firm else _LOOSE for t in recipe.touches]).to(body.v_template)
        self._prior: PosePrior = load_pose_prior().to(body.v_template.device)
        self._deep: tuple[DeepPoints, DeepPoints] | None = None

    def energy(self, bodies: Sequence[PoseVariables], step: int) -> Tensor:
        """[N] of variables of a and b."""
        variables, schedule = (bodies[0], bodies[1]), self._schedule
        a, b = self.pairs.a.shapes.pose(variables[0]), self.pairs.b.shapes.pose(variables[1])
        self._look_again(a, b, step)
        progress = min(step / (schedule.settled * schedule.steps), 1.0)
        energy = touch_energy(self.pairs, a, b, _between(schedule.touch_sigmas, progress) * self._looseness)
        energy = energy + sphere_energy(a, b, self._marks.spheres, schedule.sphere_shrink, schedule.sphere_sigma)
        energy = energy + placement_energy(self.pairs, variables, schedule.placement)
        if self._deep is not None:
            energy = energy + crossing_energy(self._deep, a, b, _between(schedule.crossing_sigmas, progress))
        if self._recipe.carried:
            both = (centre_of_mass(a.joints) + centre_of_mass(b.joints)) / 2
            energy = energy + balance_energy(self.pairs.a, a, self._marks, both)
        energy = energy + person_energy(
            _unbalanced(self.pairs.a, self._recipe), a, variables[0], self._marks, self._prior
        )
        return energy + person_energy(self.pairs.b, b, variables[1], self._marks, self._prior)

    def _look_again(self, a: PosedBodies, b: PosedBodies, step: int) -> None:
        """Search crossings, and renew the anchors, when it is time."""
        schedule = self._schedule
        if step in {round(share * schedule.steps) for share in schedule.anchor_again}:
            anchors = nearest_anchors(self._recipe, self._body, self._marks.regions, self._drawn, a, b)
            self.pairs = replace(self.pairs, anchors=anchors)
        if step >= schedule.first_search * schedule.steps and step % schedule.search_every == 0:
            self._deep = search_crossings(a, b, self._body.faces)


def _begin_pairs(
    recipe: Recipe, sources: SourcePoses, body: BodyModel, marks: Marks, count: int, generator: torch.Generator
) -> tuple[Pairs, tuple[tuple[SourceFrame, SourceFrame], ...]]:
    """The pairs in their places, before anything is solved, and where their poses come from."""
    a, frames_a = _begin_role(recipe.a, sources, body, marks, count, generator)
    b, frames_b = _begin_role(recipe.b, sources, body, marks, count, generator)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)).to(body.v_template)

    facing, bearing = (torch.deg2rad(draw(*limits)) for limits in (recipe.facing, recipe.bearing))
    distance = draw(*recipe.distance)
    place = distance[:, None] * torch.stack([bearing.sin(), bearing.cos()], dim=-1)  # x is a's left.
    b = replace(b, start=turned(b.start, facing, place))
    anchors = draw_anchors(recipe, body, marks.regions, count, generator)
    return Pairs(a, b, anchors), tuple(zip(frames_a, frames_b, strict=True))


def _begin_role(
    role: Role, sources: SourcePoses, body: BodyModel, marks: Marks, count: int, generator: torch.Generator
) -> tuple[Person, tuple[SourceFrame, ...]]:
    like, posture = body.v_template, POSTURES[role.stance]
    betas = random_betas(count, body.num_betas, generator).to(like)
    hands = hand_shapes(body, [role.hands]).expand(count, -1, -1)
    if posture.captured:
        root, body_pose, frames = sources.draw(count, generator)
    else:
        root, body_pose = synthetic_start(posture, count, generator, like)
        frames = tuple((f"posture/{role.stance}", index) for index in range(count))
    return begin(body, marks, role, posture, betas, hands, root.to(like), body_pose.to(like), generator), frames


def _unbalanced(person: Person, recipe: Recipe) -> Person:
    """Somebody who bears two is not balanced alone."""
    return replace(person, posture=replace(person.posture, balanced=False)) if recipe.carried else person


def _measured(
    recipe: Recipe,
    body: BodyModel,
    pairs: Pairs,
    solved: tuple[PoseVariables, PoseVariables],
    began: tuple[tuple[SourceFrame, SourceFrame], ...],
) -> KeyPoses:
    people = (pairs.a, pairs.b)
    pose = torch.stack([p.shapes.axis_angle(v) for p, v in zip(people, solved, strict=True)], dim=1)  # [N, 2, 55, 3]
    betas = torch.stack([p.betas for p in people], dim=1)
    pelvis = torch.stack([v.pelvis for v in solved], dim=1)
    errors = check_pairs(recipe, body, betas, axis_angle_to_matrix(pose), pelvis)
    supports = torch.stack([floor_errors(p, v) for p, v in zip(people, solved, strict=True)], dim=1).amax(1)
    floor = torch.maximum(torch.maximum(errors.sinking, errors.floating), supports)
    return KeyPoses(
        recipe=recipe,
        body_model=body.name,
        betas=betas,
        root=pose[:, :, 0],
        body_pose=pose[:, :, 1:22],
        hand_pose=pose[:, :, 25:],
        pelvis=pelvis,
        anchors=pairs.anchors,
        sources=began,
        accepted=errors.accepted & (floor <= FLOOR),
        contact_error=errors.contact,
        depth=errors.depth,
        limit_excess=errors.limit,
        floor_error=floor,
    )


def _between(ends: tuple[float, float], share: float) -> float:
    """From the first to the second, in equal ratios."""
    return math.exp(math.log(ends[0]) * (1 - share) + math.log(ends[1]) * share)
