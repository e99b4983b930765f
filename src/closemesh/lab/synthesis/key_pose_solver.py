"""Solver of key poses: pairs of random bodies, posed so that the regions of a template touch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.watertight import watertight_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.body_regions import find_regions
from closemesh.lab.synthesis.energy_terms import (
    PairBatch,
    PenetratingPoints,
    PersonBatch,
    SearchMesh,
    balance_energy,
    center_of_mass,
    contact_energy,
    penetration_energy,
    person_energy,
    placement_energy,
    search_penetrations,
    support_errors,
)
from closemesh.lab.synthesis.initial_poses import InitialPose, apply_template, place_bodies, posture_pose
from closemesh.lab.synthesis.key_poses import KeyPoses, SourceFrame, SourcePoses
from closemesh.lab.synthesis.posed_bodies import (
    PosedBodies,
    PoseVariables,
    hand_shapes,
    minimize_batch,
    random_betas,
)
from closemesh.lab.synthesis.quality_checks import MAX_FLOOR_ERROR, measure_pairs
from closemesh.lab.synthesis.surface_points import (
    SurfacePoints,
    draw_anchors,
    find_surface_points,
    nearest_anchors,
    sphere_energy,
)
from closemesh.lab.synthesis.templates.schema import POSTURES, InteractionTemplate, PersonTemplate
from closemesh.losses.pose_prior import load_pose_prior

PairSources = tuple[tuple[SourceFrame, SourceFrame], ...]
PairVariables = tuple[PoseVariables, PoseVariables]


def initial_pairs(
    template: InteractionTemplate,
    sources: SourcePoses,
    body: BodyModel,
    points: SurfacePoints,
    count: int,
    generator: torch.Generator,
) -> tuple[PairBatch, PairSources]:
    """`count` pairs at random distances and bearings of the template, and the source frames of their poses."""
    a, frames_a = _initial_people(template.a, sources, body, points, count, generator)
    b, frames_b = _initial_people(template.b, sources, body, points, count, generator)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)).to(body.v_template)

    facing, bearing = (torch.deg2rad(draw(low, high)) for low, high in (template.facing, template.bearing))
    low, high = template.distance
    offset = draw(low, high)[:, None] * torch.stack([bearing.sin(), bearing.cos()], dim=-1)  # x is to a's left.
    b = replace(b, start=place_bodies(b.start, facing, offset))
    if a.seat is not None and b.seat is not None:
        b = replace(b, seat=a.seat)
    anchors = draw_anchors(template, body, points.regions, count, generator)
    return PairBatch(a, b, anchors), tuple(zip(frames_a, frames_b, strict=True))


def _initial_people(
    template: PersonTemplate,
    sources: SourcePoses,
    body: BodyModel,
    points: SurfacePoints,
    count: int,
    generator: torch.Generator,
) -> tuple[PersonBatch, tuple[SourceFrame, ...]]:
    """`count` bodies of random shapes in the posture of the template, and the source frames of their poses."""
    like, posture = body.v_template, POSTURES[template.posture]
    betas = random_betas(count, body.num_betas, generator).to(like)
    if template.child:
        betas[:, 0] = CHILD_BETA + CHILD_BETA_SCALE * betas[:, 0]
    hands = hand_shapes(body, [template.hands]).expand(count, -1, -1)
    if posture.captured:
        root, body_pose, frames = sources.draw(count, generator)
    else:
        root, body_pose = posture_pose(posture, count, generator, like)
        frames = tuple((f"posture/{template.posture}", index) for index in range(count))
    pose = InitialPose(betas, hands, root.to(like), body_pose.to(like))
    return apply_template(body, points, template, pose, generator), frames


_NUM_SURFACE = 750  # Knees, hips and elbows of people on the floor are small.
CHILD_BETA, CHILD_BETA_SCALE = -4.0, 0.3  # The first beta is stature; -4 is 1.29 m.
SPHERE_SIGMA = 0.01  # Meters of overlap of two inner spheres.
PLACEMENT_SIGMA = 0.15  # Meters of change of the positions of the two.
OPTIONAL_SIGMA_SCALE = 2.5  # On the standard deviation of a contact that is not required.
_FINAL_SIGMA_AT = 0.75  # Fraction of the steps after which standard deviations are final.


@dataclass(frozen=True)
class SolvePhase:
    """Settings of one run of the minimizer."""

    steps: int
    learning_rate: float
    contact_sigmas: tuple[float, float]
    """Standard deviation in meters of the distance of anchors, initial and final."""
    penetration_sigmas: tuple[float, float]
    """Standard deviation in meters of the depth, initial and final."""
    fine: bool
    """Penetrations are searched on the fine mesh instead of the coarse one."""
    search_from: float
    """Fraction of the steps without penetration search; there only the spheres separate the two."""
    search_every: int
    """Steps between two searches."""
    update_anchors_at: tuple[float, ...]
    """Fractions of the steps at which each contact gets the nearest vertices of its regions."""


APPROACH = SolvePhase(100, 0.14, (0.10, 0.004), (0.02, 0.004), False, 0.4, 12, (0.35, 0.65))
POLISH = SolvePhase(60, 0.02, (0.004, 0.003), (0.004, 0.003), True, 0.0, 10, (0.0, 0.4))


def solve_key_poses(
    template: InteractionTemplate,
    sources: SourcePoses,
    body: BodyModel,
    count: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    phases: Sequence[SolvePhase] = (APPROACH, POLISH),
) -> KeyPoses:
    """`count` attempts at a template, solved as one batch; `KeyPoses.accepted` marks the successful ones.

    Person a is near the origin and faces +z; bodies have random shapes. `body` is any variant of the bundled body;
    contact is measured on its fine watertight variant.
    """
    meshes = _SolverMeshes(body.to(device))
    pairs, pair_sources = initial_pairs(template, sources, meshes.body, meshes.points, count, generator)
    solver = _Solver(template, pairs, meshes)
    people = (pairs.a.start, pairs.b.start)
    for phase in phases:
        people = solver.run(phase, people)
    return _measure(template, meshes, solver.pairs, people, pair_sources)


class _SolverMeshes:
    """The fine mesh that is posed, and the coarse one on some of its vertices."""

    def __init__(self, body: BodyModel) -> None:
        self.body = watertight_body(body, "fine")
        coarse = watertight_body(body, "coarse")
        # The vertices of the coarse mesh are vertices of the fine one.
        ids = torch.cdist(coarse.v_template, self.body.v_template).argmin(-1)
        self.coarse = SearchMesh(ids, coarse.faces)
        self.fine = SearchMesh(torch.arange(len(self.body.v_template), device=ids.device), self.body.faces)
        points = find_surface_points(coarse, _NUM_SURFACE).renumbered(ids)
        self.points: SurfacePoints = replace(points, supports=find_regions(self.body))

    def coarse_anchors(self, anchors: Tensor) -> Tensor:
        """Vertex ids of anchors [N, K, 2] on the coarse mesh."""
        coarse_ids = torch.full((len(self.fine.ids),), -1, device=anchors.device)
        coarse_ids[self.coarse.ids] = torch.arange(len(self.coarse.ids), device=anchors.device)
        return coarse_ids[anchors]


class _Solver:
    """Energy of a batch of pairs, with the penetrations and anchors of the last search."""

    def __init__(self, template: InteractionTemplate, pairs: PairBatch, meshes: _SolverMeshes) -> None:
        self.pairs = pairs
        self._template, self._meshes, self._points = template, meshes, meshes.points
        self._drawn = pairs.anchors
        self._prior = load_pose_prior().to(pairs.anchors.device)
        self._penetrating: tuple[PenetratingPoints, PenetratingPoints] | None = None
        scales = [1.0 if contact.required else OPTIONAL_SIGMA_SCALE for contact in template.contacts]
        self._sigma_scales = torch.tensor(scales, device=pairs.anchors.device)  # [K]

    def run(self, phase: SolvePhase, people: PairVariables) -> PairVariables:
        """Variables of the two people after one phase."""

        def energy(bodies: Sequence[PoseVariables], step: int) -> Tensor:
            return self._energy(phase, (bodies[0], bodies[1]), step)

        a, b = minimize_batch(people, energy, phase.steps, phase.learning_rate)
        return a, b

    def _energy(self, phase: SolvePhase, people: PairVariables, step: int) -> Tensor:
        """[N] sum of all terms of the pairs; searches again when it is time."""
        posed_a, posed_b = self.pairs.a.shapes.pose(people[0]), self.pairs.b.shapes.pose(people[1])
        self._update_search(phase, posed_a, posed_b, step)
        progress = min(step / (_FINAL_SIGMA_AT * phase.steps), 1.0)
        contact_sigma = _geometric(phase.contact_sigmas, progress) * self._sigma_scales
        energy = contact_energy(self.pairs, posed_a, posed_b, contact_sigma)
        energy = energy + sphere_energy(posed_a, posed_b, self._points.spheres, SPHERE_SIGMA)
        energy = energy + placement_energy(self.pairs, people, PLACEMENT_SIGMA)
        if self._penetrating is not None:
            sigma = _geometric(phase.penetration_sigmas, progress)
            energy = energy + penetration_energy(self._penetrating, posed_a, posed_b, sigma)
        return energy + self._single_energy(people, posed_a, posed_b)

    def _single_energy(self, people: PairVariables, posed_a: PosedBodies, posed_b: PosedBodies) -> Tensor:
        """[N] terms of each person alone; a person who carries the other balances both."""
        pairs, points = self.pairs, self._points
        carrying = pairs.a
        energy = person_energy(pairs.b, posed_b, people[1], points, self._prior)
        if self._template.carried and carrying.posture.balanced:
            both = (center_of_mass(posed_a.joints) + center_of_mass(posed_b.joints)) / 2
            energy = energy + balance_energy(carrying, posed_a, points, both)
            carrying = replace(carrying, posture=replace(carrying.posture, balanced=False))
        return energy + person_energy(carrying, posed_a, people[0], points, self._prior)

    def _update_search(self, phase: SolvePhase, a: PosedBodies, b: PosedBodies, step: int) -> None:
        """Renew penetrations and anchors at the steps of the phase."""
        if step in {round(fraction * phase.steps) for fraction in phase.update_anchors_at}:
            regions = self._points.regions
            anchors = nearest_anchors(self._template, self._meshes.body, regions, self._drawn, a, b)
            self.pairs = replace(self.pairs, anchors=anchors)
        if step >= phase.search_from * phase.steps and step % phase.search_every == 0:
            mesh = self._meshes.fine if phase.fine else self._meshes.coarse
            self._penetrating = search_penetrations(a, b, mesh)


def _measure(
    template: InteractionTemplate,
    meshes: _SolverMeshes,
    pairs: PairBatch,
    solved: PairVariables,
    sources: PairSources,
) -> KeyPoses:
    """Key poses with their exact errors on the fine body."""
    people = (pairs.a, pairs.b)
    pose = torch.stack([p.shapes.axis_angle(v) for p, v in zip(people, solved, strict=True)], dim=1)  # [N, 2, 55, 3]
    betas = torch.stack([p.betas for p in people], dim=1)
    pelvis = torch.stack([v.pelvis for v in solved], dim=1)
    errors = measure_pairs(template, meshes.body, betas, axis_angle_to_matrix(pose), pelvis)
    supports = torch.stack([support_errors(p, v) for p, v in zip(people, solved, strict=True)], dim=1).amax(1)
    floor = torch.maximum(torch.maximum(errors.sinking, errors.floating), supports)
    return KeyPoses(
        template=template,
        body_model=meshes.body.name,
        betas=betas,
        root=pose[:, :, 0],
        body_pose=pose[:, :, 1:22],
        hand_pose=pose[:, :, 25:],
        pelvis=pelvis,
        anchors=meshes.coarse_anchors(pairs.anchors),
        sources=sources,
        accepted=errors.accepted & (floor <= MAX_FLOOR_ERROR),
        contact_error=errors.contact,
        depth=errors.depth,
        limit_excess=errors.limit,
        floor_error=floor,
    )


def _geometric(ends: tuple[float, float], fraction: float) -> float:
    """From the first end to the second in equal ratios."""
    return math.exp(math.log(ends[0]) * (1 - fraction) + math.log(ends[1]) * fraction)
