"""Corrections of a blended motion that close contact, hold it, open it without penetration, and fix standing feet."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.geometry.mesh import batched_vertex_normals
from closemesh.lab.synthesis.least_squares import (
    FREE_JOINTS,
    CorrectionPrior,
    LinearResiduals,
    PosedPairs,
    compose_rotvecs,
    parameter_sigmas,
    solve_correction,
    vertex_points,
)
from closemesh.lab.synthesis.motion_blending import BlendedMotion
from closemesh.lab.synthesis.pair_motion import RESTING_HEIGHT, ContactPoints, PairMotion
from closemesh.lab.synthesis.residuals import (
    NearSearch,
    contact_residuals,
    floor_residuals,
    joint_limit_residuals,
    penetration_residuals,
    separation_residuals,
)
from closemesh.lab.synthesis.timing import Timing, interpolate

_MAX_ANCHOR_DISTANCE = 0.006  # Meters left between anchors in contact.
_RING = 0.015, 0.045  # Meters from an anchor to the points around it.
_MAX_PARTNER_DISTANCE = 0.04  # Meters to the other body, beyond which a point is not held.
_POINTS_PER_ANCHOR = 2


def contact_points(key: PairMotion, anchors: Tensor, body: BodyModel) -> ContactPoints:
    """Vertices of a and b that keep their relative position during contact.

    key: one frame, the key pose. The anchors [K, 2] come first; points around each keep the parts from rotating.
    """
    a, b = key.skin(body)[0][0]  # [V, 3]
    pairs = [anchors]
    for vertex_a, _ in anchors.tolist():
        distance = (a - a[vertex_a]).norm(dim=-1)
        ring = ((distance > _RING[0]) & (distance < _RING[1])).nonzero()[:, 0]
        if len(ring) == 0:
            continue
        distance, partner = torch.cdist(a[ring], b).min(-1)
        near = distance < _MAX_PARTNER_DISTANCE
        pairs.append(_farthest_points(a, torch.stack([ring, partner], dim=-1)[near], vertex_a))
    held = torch.cat(pairs)
    offsets = a[held[:, 0]] - b[held[:, 1]]
    first = offsets[: len(anchors)]
    length = first.norm(dim=-1, keepdim=True)
    offsets[: len(anchors)] = first * (_MAX_ANCHOR_DISTANCE / length.clamp(min=_MAX_ANCHOR_DISTANCE))
    return ContactPoints(held, offsets)


def _farthest_points(points: Tensor, pairs: Tensor, center: int) -> Tensor:
    """Up to `_POINTS_PER_ANCHOR` of the pairs [N, 2], whose first vertices are far from each other and the center."""
    chosen = [center]
    for _ in range(min(_POINTS_PER_ANCHOR, len(pairs))):
        distance = torch.cdist(points[pairs[:, 0]], points[chosen]).amin(-1)
        chosen.append(int(pairs[int(distance.argmax()), 0]))
    rows = [int((pairs[:, 0] == vertex).nonzero()[0, 0]) for vertex in chosen[1:]]
    return pairs[rows]


_ENFORCE_STEPS = 6
_CONTACT_STEP, _FREE_STEP = 5, 4  # Frames between two solved ones, in contact and outside it.
_DENSE_RADIUS = 2  # Frames before and after a near penetration that are all solved.
_NEAR_PENETRATION = 0.01  # Meters between surfaces.
_VERTEX_STEP = 2  # Every second vertex is searched for near penetrations.
_CHUNK = 16  # Frames skinned at a time.
_CONTACT_SIGMA, _PENETRATION_SIGMA, _FLOOR_SIGMA = 0.003, 0.004, 0.01  # Meters.
_FREE_DEPTH = 0.004  # Meters of penetration without cost.
_SMOOTHNESS = 0.08  # Standard deviation of second differences, relative to that of the parameters.


def enforce_contact(blended: BlendedMotion, body: BodyModel) -> PairMotion:
    """The blended motion with contact closed and held, without penetration, with standing feet at rest.

    The correction is solved in some of the frames and interpolated smoothly between them.
    """
    frames = _frames_to_solve(blended, body)
    motion = blended.motion.frames(frames)
    in_contact = blended.timing.contact()[frames].nonzero()[:, 0]
    feet = StandingFeet(blended.motion, blended.foot_contact, body, frames)
    search = NearSearch(body)

    def residuals(posed: PosedPairs, corrected: PairMotion) -> LinearResiduals:
        parts = [
            contact_residuals(posed, in_contact, blended.contact, _CONTACT_SIGMA),
            penetration_residuals(posed, search, body.faces, _FREE_DEPTH, _PENETRATION_SIGMA),
            floor_residuals(posed, feet.points, feet.targets, feet.fixed, _FLOOR_SIGMA),
            joint_limit_residuals(corrected),
        ]
        return LinearResiduals.concat(parts)

    inv_sigma = 1 / parameter_sigmas(blended.contact.anchors, body).expand(len(frames), -1)
    prior = CorrectionPrior(inv_sigma, second_differences(frames) / _SMOOTHNESS)
    rotvecs, offset = solve_correction(motion, body, residuals, prior, _ENFORCE_STEPS)
    length = len(blended.motion)
    return blended.motion.corrected(interpolate(frames, rotvecs, length), interpolate(frames, offset, length))


def second_differences(frames: Tensor) -> Tensor:
    """Matrix [F - 2, F] that gives the difference of each of frames [F] from the line between its neighbors."""
    differences = torch.zeros(max(len(frames) - 2, 0), len(frames))
    for row in range(len(differences)):
        before, middle, after = frames[row : row + 3].tolist()
        weight = (middle - before) / (after - before)
        differences[row, row : row + 3] = torch.tensor([weight - 1, 1.0, -weight])
    return differences


class StandingFeet:
    """Sole points of two people and their rest positions: the mean position over each run of frames at rest."""

    def __init__(self, motion: PairMotion, foot_contact: Tensor, body: BodyModel, frames: Tensor) -> None:
        """foot_contact [T, 2, 2] bool, person and foot; frames [F]: those of points [N], targets [N, 3], fixed [N]."""
        soles = sole_vertices(body)[:, [0, 3, 8, 11]]  # [2, 4] heel to toe of each foot
        vertices = motion.skin(body.subset(soles.flatten()))[0].unflatten(2, (2, 4))  # [T, 2, 2, 4, 3]
        rests = foot_contact[..., None] & (vertices[..., 1] < RESTING_HEIGHT)
        targets = _mean_over_runs(vertices.flatten(1, 3), rests.flatten(1)).view(vertices.shape)
        targets[..., 1] = vertices[..., 1].clamp(0, RESTING_HEIGHT / 4)
        frame = torch.arange(len(frames)).repeat_interleave(2 * soles.numel())
        person = torch.arange(2).repeat_interleave(soles.numel()).repeat(len(frames))
        self.points = vertex_points(frame, person, soles.flatten().repeat(2 * len(frames)))
        self.targets = targets[frames].flatten(0, 3)
        self.fixed = rests[frames].flatten()


def _mean_over_runs(positions: Tensor, rests: Tensor) -> Tensor:
    """Positions [T, N, 3], each run of frames in which a point rests [T, N] replaced by its mean."""
    starts = rests & ~torch.cat([torch.zeros_like(rests[:1]), rests[:-1]])
    run = starts.int().cumsum(0) * rests  # 0 where a point does not rest.
    result = positions.clone()
    for number in range(1, int(run.max()) + 1):
        in_run = (run == number)[..., None]
        mean = (positions * in_run).sum(0) / in_run.sum(0).clamp(min=1)
        result = torch.where(in_run, mean, result)
    return result


def _frames_to_solve(blended: BlendedMotion, body: BodyModel) -> Tensor:
    """Frames [F]: all around near penetrations, few of the others."""
    timing = blended.timing
    frames = torch.arange(timing.length)
    penetrating = torch.zeros(timing.length, dtype=torch.bool)
    search = NearSearch(body, _VERTEX_STEP)
    for chunk in frames.split(_CHUNK):
        found = search.find(blended.motion.frames(chunk).skin(body)[0], _NEAR_PENETRATION)
        penetrating[chunk[found.frame.unique()]] = True
    dense = F.max_pool1d(penetrating.float()[None, None], 2 * _DENSE_RADIUS + 1, 1, _DENSE_RADIUS)[0, 0] > 0
    outside = torch.maximum(timing.first - frames, frames - timing.last)
    in_contact = (frames - timing.first) % _CONTACT_STEP == 0
    solved = torch.where(timing.contact(), in_contact, dense | (outside % _FREE_STEP == 0))
    solved[[0, timing.last, -1]] = True
    return solved.nonzero()[:, 0]


_RELEASE_SPACING = 2  # Frames between two solved ones.
_RELEASE_STEPS = 3
_FADE_OUT = 8  # Frames in which the remaining correction goes to zero.
_RELEASE_SIGMA_SCALE = 0.3  # Factor on the standard deviations of the parameters.
_RELEASE_DISTANCE = 0.06  # Meters between contact points after release.
_RELEASE_MARGIN = 0.01  # Meters between surfaces after release.
_RELEASE_SIGMA = 0.005  # Meters.


def release_contact(blended: BlendedMotion, key: PairMotion, body: BodyModel) -> BlendedMotion:
    """The blended motion with rotations that separate the contact points before and after contact.

    key: one frame, the key pose. Frames are solved in order of their distance from contact, those before and after it
    together. Each starts from the correction of its neighbor, so that a limb around the partner stays on its side.
    """
    timing = blended.timing
    directions = _separation_directions(key, blended.contact, body).expand(2, -1, -1)
    weight, last = timing.key_pose_weight(), len(blended.motion) - 1
    ends = [
        max(timing.first - timing.hold[0] - timing.transition, 0),
        min(timing.last + timing.hold[1] + timing.transition, last),
    ]
    solver = _ReleaseSolver(blended, body, directions)
    rotvecs = torch.zeros(2, 2, 22, 3)
    frames = torch.tensor([timing.first, timing.last])
    solved: dict[int, Tensor] = {}
    for distance in range(0, max(timing.first - ends[0], ends[1] - timing.last) + 1, _RELEASE_SPACING):
        previous = weight[frames]
        frames = torch.tensor([max(timing.first - distance, ends[0]), min(timing.last + distance, ends[1])])
        # The correction decays with the key pose.
        rotvecs = rotvecs * (weight[frames] / previous.clamp(min=1e-6)).clamp(max=1)[:, None, None, None]
        rotvecs = solver.solve(frames, rotvecs, min(distance / timing.closing, 1.0))
        solved |= {int(frame): vectors for frame, vectors in zip(frames, rotvecs, strict=True)}
    solved[round(timing.key)] = (solved[timing.first] + solved[timing.last]) / 2
    solved = _fade_out(solved, timing)
    known = torch.tensor(sorted(solved))
    vectors = interpolate(known, torch.stack([solved[int(f)] for f in known]), last + 1)
    return replace(blended, motion=blended.motion.corrected(vectors, torch.zeros_like(blended.motion.pelvis)))


def _fade_out(solved: dict[int, Tensor], timing: Timing) -> dict[int, Tensor]:
    """The corrections by frame, with zero ones farther from contact; a window that ends in contact keeps its own."""
    last = timing.length - 1
    faded = dict(solved)
    for side, (in_contact, end) in enumerate(((timing.starts_in_contact, 0), (timing.ends_in_contact, last))):
        nearest = (min, max)[side](solved)
        zero = torch.zeros_like(solved[nearest])
        faded.setdefault(end, solved[nearest] if in_contact else zero)
        frame = nearest + (-_FADE_OUT, _FADE_OUT)[side]
        if 0 < frame < last:
            faded[frame] = zero
    return faded


class _ReleaseSolver:
    """Corrections of two frames, one before contact and one after it."""

    def __init__(self, blended: BlendedMotion, body: BodyModel, directions: Tensor) -> None:
        """directions [2, H, 3]: unit vectors from b to a at each contact point."""
        self._blended, self._body, self._directions = blended, body, directions
        self._search = NearSearch(body, _VERTEX_STEP)
        sigmas = parameter_sigmas(blended.contact.anchors, body, fix_stance=True)
        self._prior = CorrectionPrior(1 / (_RELEASE_SIGMA_SCALE * sigmas).expand(2, -1), torch.zeros(0, 2))

    def solve(self, frames: Tensor, rotvecs: Tensor, progress: float) -> Tensor:
        """Rotation vectors [2, 2, 22, 3] of frames [2] from those of their neighbors; progress: 0 in contact to 1."""
        both, contact = torch.arange(2), self._blended.contact
        base = self._blended.motion.frames(frames)
        start = base.corrected(rotvecs, torch.zeros_like(base.pelvis))
        margin = -_RELEASE_MARGIN * progress

        def residuals(posed: PosedPairs, corrected: PairMotion) -> LinearResiduals:
            parts = [
                penetration_residuals(posed, self._search, self._body.faces, margin, _RELEASE_SIGMA),
                joint_limit_residuals(corrected),
            ]
            if progress == 0:
                parts.append(contact_residuals(posed, both, contact, _RELEASE_SIGMA))
            else:
                distance = _RELEASE_DISTANCE * progress
                parts.append(separation_residuals(posed, both, contact, self._directions, distance, _RELEASE_SIGMA))
            return LinearResiduals.concat(parts)

        change, _ = solve_correction(start, self._body, residuals, self._prior, _RELEASE_STEPS)
        result = rotvecs.clone()
        result[:, :, FREE_JOINTS] = compose_rotvecs(rotvecs[:, :, FREE_JOINTS], change[:, :, FREE_JOINTS])
        return result


def _separation_directions(key: PairMotion, contact: ContactPoints, body: BodyModel) -> Tensor:
    """Unit vectors [H, 3] from the surface of b to that of a at the contact points, in the one frame of `key`."""
    normals = batched_vertex_normals(key.skin(body)[0][0], body.faces)  # [2, V, 3]
    return F.normalize(normals[1, contact.anchors[:, 1]] - normals[0, contact.anchors[:, 0]], dim=-1)
