"""Pairs placed and solved.

Where pairs begin: bodies of random shapes, in their stances, at the distance and bearing of the recipe.

Poses pairs of people so that chosen regions of their bodies touch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.watertight import watertight_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.energy_terms import (
    DeepPoints,
    Pairs,
    Person,
    SearchMesh,
    balance_energy,
    centre_of_mass,
    crossing_energy,
    person_energy,
    placement_energy,
    search_crossings,
    touch_energy,
)
from closemesh.lab.synthesis.initial_poses import begin, synthetic_start, turned
from closemesh.lab.synthesis.key_poses import KeyPoses, SourceFrame, SourcePoses
from closemesh.lab.synthesis.posed_bodies import PosedBodies, PoseVariables, hand_shapes, minimize_batch
from closemesh.lab.synthesis.quality_checks import FLOOR, check_pairs
from closemesh.lab.synthesis.single_person import floor_errors, random_betas
from closemesh.lab.synthesis.surface_points import Marks, draw_anchors, find_marks, nearest_anchors, sphere_energy
from closemesh.lab.synthesis.templates.schema import POSTURES, InteractionTemplate, PersonTemplate
from closemesh.losses.pose_prior import load_pose_prior

PairSources = tuple[tuple[SourceFrame, SourceFrame], ...]


def begin_pairs(
    recipe: InteractionTemplate,
    sources: SourcePoses,
    body: BodyModel,
    marks: Marks,
    count: int,
    generator: torch.Generator,
) -> tuple[Pairs, PairSources]:
    """`count` pairs before anything is solved, and where their poses come from."""
    a, frames_a = _begin_role(recipe.a, sources, body, marks, count, generator)
    b, frames_b = _begin_role(recipe.b, sources, body, marks, count, generator)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)).to(body.v_template)

    facing, bearing = (torch.deg2rad(draw(*limits)) for limits in (recipe.facing, recipe.bearing))
    place = draw(*recipe.distance)[:, None] * torch.stack([bearing.sin(), bearing.cos()], dim=-1)  # x is a's left.
    b = replace(b, start=turned(b.start, facing, place))
    anchors = draw_anchors(recipe, body, marks.regions, count, generator)
    return Pairs(a, b, anchors), tuple(zip(frames_a, frames_b, strict=True))


def _begin_role(
    role: PersonTemplate, sources: SourcePoses, body: BodyModel, marks: Marks, count: int, generator: torch.Generator
) -> tuple[Person, tuple[SourceFrame, ...]]:
    like, posture = body.v_template, POSTURES[role.stance]
    betas = random_betas(count, body.num_betas, generator).to(like)
    hands = hand_shapes(body, [role.hands]).expand(count, -1, -1)
    if posture.captured:
        root, body_pose, frames = sources.draw(count, generator)
    else:
        root, body_pose = synthetic_start(posture, count, generator, like)
        frames = tuple((f"posture/{role.stance}", index) for index in range(count))
    return begin(body, marks, role, betas, hands, root.to(like), body_pose.to(like), generator), frames


SPHERE_SIGMA = 0.01  # Metres of overlap of two inner spheres at a cost of one.
PLACEMENT_SIGMA = 0.15  # Metres that the two may come nearer or go apart at a cost of one.
LOOSE = 2.5  # Times the standard deviation of a touch that only guides.


@dataclass(frozen=True)
class SolvePhase:
    """One run of the minimiser."""

    steps: int
    learning_rate: float
    touch_sigmas: tuple[float, float]
    """Metres between two anchors at a cost of one: at the start, and from three quarters of the steps on."""
    crossing_sigmas: tuple[float, float]
    """Metres of depth, likewise."""
    fine: bool
    """Search crossings on the fine mesh, not the coarse one."""
    search_from: float
    """Share of the steps before crossings are searched; until then the spheres keep the two apart."""
    search_every: int
    anchors_again: tuple[float, ...]
    """Shares of the steps at which each touch takes the nearest vertices of its regions."""


APPROACH = SolvePhase(100, 0.14, (0.10, 0.004), (0.02, 0.004), False, 0.4, 12, (0.35, 0.65))
POLISH = SolvePhase(60, 0.02, (0.004, 0.003), (0.004, 0.003), True, 0.0, 10, (0.0, 0.4))
SETTLED = 0.75


def solve_key_poses(
    recipe: InteractionTemplate,
    sources: SourcePoses,
    body: BodyModel,
    count: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    phases: Sequence[SolvePhase] = (APPROACH, POLISH),
) -> KeyPoses:
    """`count` attempts at a recipe, all solved together; `accepted` says which of them succeeded.

    a stands near the origin and looks along +z; bodies have random shapes. `body` is any variant of the open body;
    contact is measured on its fine query body.
    """
    body = body.to(device)
    surface = _Surface(body)
    pairs, began = begin_pairs(recipe, sources, surface.body, surface.marks, count, generator)
    solver = _Solver(recipe, pairs, surface)
    people = (pairs.a.start, pairs.b.start)
    for phase in phases:
        people = solver.run(phase, people)
    return _measured(recipe, surface.body, solver.pairs, people, surface.coarse_anchors(solver.pairs.anchors), began)


class _Surface:
    """The fine mesh that is posed, and the coarse one on a part of its vertices."""

    def __init__(self, body: BodyModel) -> None:
        self.body = watertight_body(body, "fine")
        coarse = watertight_body(body, "coarse")
        # The coarse mesh keeps a part of the fine one's vertices where they are.
        ids = torch.cdist(coarse.v_template, self.body.v_template).argmin(-1)
        self.coarse = SearchMesh(ids, coarse.faces)
        self.fine = SearchMesh(torch.arange(len(self.body.v_template), device=ids.device), self.body.faces)
        self.marks: Marks = find_marks(coarse).renumbered(ids)

    def coarse_anchors(self, anchors: Tensor) -> Tensor:
        """The same vertices by their numbers on the coarse mesh."""
        number = torch.full((len(self.fine.ids),), -1, device=anchors.device)
        number[self.coarse.ids] = torch.arange(len(self.coarse.ids), device=anchors.device)
        return number[anchors]


class _Solver:
    """The energy of a batch of pairs, and what it remembers between steps: crossings and anchors."""

    def __init__(self, recipe: InteractionTemplate, pairs: Pairs, surface: _Surface) -> None:
        self.pairs = pairs
        self._recipe, self._surface, self._marks = recipe, surface, surface.marks
        self._drawn = pairs.anchors
        self._prior = load_pose_prior().to(pairs.anchors.device)
        self._deep: tuple[DeepPoints, DeepPoints] | None = None
        loose = [1.0 if touch.firm else LOOSE for touch in recipe.touches]
        self._looseness = torch.tensor(loose, device=pairs.anchors.device)  # [K]

    def run(
        self, phase: SolvePhase, people: tuple[PoseVariables, PoseVariables]
    ) -> tuple[PoseVariables, PoseVariables]:
        """The two after one phase."""
        a, b = minimize_batch(
            people, lambda v, step: self._energy(phase, v[0], v[1], step), phase.steps, phase.learning_rate
        )
        return a, b

    def _energy(self, phase: SolvePhase, a: PoseVariables, b: PoseVariables, step: int) -> Tensor:
        """[N] of the variables of a and b."""
        posed_a, posed_b = self.pairs.a.shapes.pose(a), self.pairs.b.shapes.pose(b)
        self._look_again(phase, posed_a, posed_b, step)
        share = min(step / (SETTLED * phase.steps), 1.0)
        touch_sigma = _between(phase.touch_sigmas, share) * self._looseness
        energy = touch_energy(self.pairs, posed_a, posed_b, touch_sigma)
        energy = energy + sphere_energy(posed_a, posed_b, self._marks.spheres, SPHERE_SIGMA)
        energy = energy + placement_energy(self.pairs, (a, b), PLACEMENT_SIGMA)
        if self._deep is not None:
            energy = energy + crossing_energy(self._deep, posed_a, posed_b, _between(phase.crossing_sigmas, share))
        return energy + self._single_energy(a, b, posed_a, posed_b)

    def _single_energy(self, a: PoseVariables, b: PoseVariables, posed_a: PosedBodies, posed_b: PosedBodies) -> Tensor:
        """[N] of each by itself; somebody who carries another balances both."""
        pairs, marks = self.pairs, self._marks
        bearer = pairs.a
        energy = person_energy(pairs.b, posed_b, b, marks, self._prior)
        if self._recipe.carried:
            both = (centre_of_mass(posed_a.joints) + centre_of_mass(posed_b.joints)) / 2
            energy = energy + balance_energy(bearer, posed_a, marks, both)
            bearer = replace(bearer, posture=replace(bearer.posture, balanced=False))
        return energy + person_energy(bearer, posed_a, a, marks, self._prior)

    def _look_again(self, phase: SolvePhase, a: PosedBodies, b: PosedBodies, step: int) -> None:
        """Search crossings, and renew the anchors, when it is time."""
        if step in {round(share * phase.steps) for share in phase.anchors_again}:
            anchors = nearest_anchors(self._recipe, self._surface.body, self._marks.regions, self._drawn, a, b)
            self.pairs = replace(self.pairs, anchors=anchors)
        if step >= phase.search_from * phase.steps and step % phase.search_every == 0:
            self._deep = search_crossings(a, b, self._surface.fine if phase.fine else self._surface.coarse)


def _measured(
    recipe: InteractionTemplate,
    fine: BodyModel,
    pairs: Pairs,
    solved: tuple[PoseVariables, PoseVariables],
    anchors: Tensor,
    began: PairSources,
) -> KeyPoses:
    people = (pairs.a, pairs.b)
    pose = torch.stack([p.shapes.axis_angle(v) for p, v in zip(people, solved, strict=True)], dim=1)  # [N, 2, 55, 3]
    betas = torch.stack([p.betas for p in people], dim=1)
    pelvis = torch.stack([v.pelvis for v in solved], dim=1)
    errors = check_pairs(recipe, fine, betas, axis_angle_to_matrix(pose), pelvis)
    supports = torch.stack([floor_errors(p, v) for p, v in zip(people, solved, strict=True)], dim=1).amax(1)
    floor = torch.maximum(torch.maximum(errors.sinking, errors.floating), supports)
    return KeyPoses(
        recipe=recipe,
        body_model=fine.name,
        betas=betas,
        root=pose[:, :, 0],
        body_pose=pose[:, :, 1:22],
        hand_pose=pose[:, :, 25:],
        pelvis=pelvis,
        anchors=anchors,
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
