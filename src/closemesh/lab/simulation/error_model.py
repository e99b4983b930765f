"""Sampled keypoints, flips, snaps, 3D errors.

Detections of known people: true keypoints with the detector's errors, in batches, on any device.

The image-based 3D cue of known people, with the errors of the network that gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.simulation.detector_errors import (
    DetectorErrors,
    correlated_noise,
    load_detector_errors,
    normal_rank,
    quantile,
)
from closemesh.lab.simulation.statistics import ARMS, LEGS, LIMB_KINDS, MIRROR, trunk_axes, view
from closemesh.perception.keypoints.uncertainty import box_diagonal, lost_claims

__all__ = ["DetectorErrors", "SampledKeypoints", "load_detector_errors", "sample_detections", "sample_keypoints"]

_SAME_POINTS = 1e-3  # Pixels.
SNAP_REACH = 0.5  # Of the person's size: how far a keypoint may jump to a partner's.
_FOOT_OF = [*range(17), 15, 15, 15, 16, 16, 16]  # Feet are believed only where their ankle is: missed together.


@dataclass(frozen=True)
class SampledKeypoints:
    """What the detector says."""

    points: Tensor  # [..., T, P, 23, 2] pixels
    confidence: Tensor  # [..., T, P, 23] 0 where nothing was detected
    spread: Tensor  # [..., T, P, 23] distance between the two looks, of the box diagonal
    present: Tensor  # [..., T, P] the person was found at all


def sample_detections(
    points2d: Tensor,
    hidden: Tensor,
    size: Tensor,
    partner: Tensor | None,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
) -> tuple[Tensor, Tensor]:
    """Points [..., T, P, 23, 2] in pixels and confidence [..., T, P, 23] as the detector would give them.

    points2d [..., T, P, 23, 2] true pixels; hidden [..., T, P, 23]; size [..., T, P] pixels (`person_size`); partner
    [..., T, P, 23, 2] true pixels of whoever is nearest to each person, nan where nobody is, None when nobody ever is.
    All of it, the errors and the generator live on one device.
    """
    sampled = sample_keypoints(points2d, hidden, size, partner, errors, generator, fps)
    return sampled.points, sampled.confidence


def sample_keypoints(
    points2d: Tensor,
    hidden: Tensor,
    size: Tensor,
    partner: Tensor | None,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
    settle: bool = True,
) -> SampledKeypoints:
    """The same with the disagreement of the two looks and who was not found at all.

    Rival claims to one point are settled as the observation stage does it, unless `settle` is false.
    """
    draw = _Draw(errors, tuple(points2d.shape[:-2]), fps, generator)
    if partner is None:
        partner = torch.full_like(points2d, torch.nan)
    crowd = hidden_class(hidden, errors)
    meant, hidden = _exchange_sides(points2d, hidden, draw)
    meant, hidden = _follow_partner(meant, hidden, partner, crowd, draw)
    points = meant + _offsets(points2d, hidden, size, draw)
    points = _snap(points, meant, hidden, points2d, partner, size, draw)
    off = (points - meant).norm(dim=-1) / size[..., None]
    confidence, spread = _confidence(hidden, off, draw)
    present = draw.event(errors.event_shares[2]) >= errors.absent[crowd]
    missed = draw.keypoints(errors.miss_shares)[..., _FOOT_OF] < _rates(errors.miss, hidden)
    confidence = torch.where(missed | ~present[..., None], 0.0, confidence.clamp(0, 1))
    if settle:
        confidence = confidence.masked_fill(lost_claims(points, confidence, box_diagonal(points2d)), 0)
    return SampledKeypoints(points, confidence, spread, present)


def hidden_class(hidden: Tensor, errors: DetectorErrors) -> Tensor:
    """[...] class of how much of a person is hidden; hidden [..., 23]."""
    return torch.bucketize(hidden.to(errors.hidden_edges.dtype).mean(-1), errors.hidden_edges)


def same_kind(points: Tensor, partner: Tensor) -> Tensor:
    """Which of the partner's keypoints [..., 23] is the nearer elbow, wrist, knee or ankle to each of a person's.

    Points [..., 23, 2]. Keypoints that are never taken for a partner's get -1.
    """
    nearest = torch.full(points.shape[:-1], -1, dtype=torch.long, device=points.device)
    for kind in LIMB_KINDS:
        own, others = points[..., kind, :], partner[..., kind, :]
        nearer = (own[..., :, None, :] - others[..., None, :, :]).norm(dim=-1).argmin(-1)  # [..., 2]
        nearest[..., kind] = torch.tensor(kind, device=points.device)[nearer]
    return nearest


def take_points(points: Tensor, index: Tensor) -> Tensor:
    """[..., 23, 2] of points [..., 23, 2] at index [..., 23]; nan where the index is -1."""
    taken = points.gather(-2, index.clamp(min=0)[..., None].expand(*index.shape, points.shape[-1]))
    return torch.where((index < 0)[..., None], torch.nan, taken)


class _Draw:
    """Ranks 0..1 that last over time."""

    def __init__(self, errors: DetectorErrors, batch: tuple[int, ...], fps: float, generator: torch.Generator) -> None:
        self.errors = errors
        self._batch, self._fps, self._generator = batch, fps, generator

    def noise(
        self, shares: Tensor, shape: tuple[int, ...], mixing: Tensor | None = None, jumps: Tensor | float = 0.0
    ) -> Tensor:
        return correlated_noise(shape, shares, self.errors.times, self._fps, self._generator, mixing, jumps)

    def keypoints(self, shares: Tensor, mixing: Tensor | None = None) -> Tensor:
        """[..., T, P, 23]."""
        return normal_rank(self.noise(shares, (*self._batch, self.errors.num_keypoints, 1), mixing))[..., 0]

    def event(self, shares: Tensor) -> Tensor:
        """[..., T, P]."""
        return normal_rank(self.noise(shares, (*self._batch, 1, 1)))[..., 0, 0]

    def common_event(self, shares: Tensor) -> Tensor:
        """[..., T, 1] one for everybody."""
        return normal_rank(self.noise(shares, (*self._batch[:-1], 1, 1, 1)))[..., 0, 0]


def _exchange_sides(points: Tensor, hidden: Tensor, draw: _Draw) -> tuple[Tensor, Tensor]:
    """Whose left and right the detector means."""
    bounds = draw.errors.flip.cumsum(0)[:, view(points)]  # [3, ..., T, P]
    rank = draw.event(draw.errors.event_shares[0])
    everything = rank < bounds[0]
    exchanged = torch.zeros_like(hidden)
    exchanged[..., ARMS] = (everything | ((rank >= bounds[0]) & (rank < bounds[1])))[..., None]
    exchanged[..., LEGS] = (everything | ((rank >= bounds[1]) & (rank < bounds[2])))[..., None]
    exchanged[..., :5] = everything[..., None]
    points = torch.where(exchanged[..., None], points[..., MIRROR, :], points)
    return points, torch.where(exchanged, hidden[..., MIRROR], hidden)


def _follow_partner(
    meant: Tensor, hidden: Tensor, partner: Tensor, crowd: Tensor, draw: _Draw
) -> tuple[Tensor, Tensor]:
    """In some frames the track is on the partner's body; both people change places together."""
    rank = draw.common_event(draw.errors.event_shares[1])
    taken = ((rank < draw.errors.swap[crowd]) & partner.isfinite().all(-1).all(-1))[..., None]
    return torch.where(taken[..., None], partner, meant), hidden & ~taken


def _snap(
    points: Tensor, meant: Tensor, hidden: Tensor, truth: Tensor, partner: Tensor, size: Tensor, draw: _Draw
) -> Tensor:
    """Some elbows, wrists, knees and ankles are what was detected of the partner."""
    index = same_kind(meant, partner)
    within = (take_points(partner, index) - meant).norm(dim=-1) < SNAP_REACH * size[..., None]  # False where nan.
    snapped = within & (draw.keypoints(draw.errors.snap_shares) < _rates(draw.errors.snap, hidden))
    return torch.where(snapped[..., None], take_points(_detected_partner(points, truth, partner), index), points)


def _detected_partner(points: Tensor, truth: Tensor, partner: Tensor) -> Tensor:
    """What was detected [..., T, P, 23, 2] of each partner, if that is one of the people, else the true points."""
    apart = (partner[..., :, None, :, :] - truth[..., None, :, :, :]).abs().amax((-1, -2))  # [..., T, P, P]
    who = apart.nan_to_num(nan=torch.inf).argmin(-1)[..., None, None].expand(*points.shape)
    is_one = (apart < _SAME_POINTS).any(-1)[..., None, None]
    return torch.where(is_one, points.gather(-3, who), partner)


def _offsets(points: Tensor, hidden: Tensor, size: Tensor, draw: _Draw) -> Tensor:
    """[..., T, P, 23, 2] pixels: bias and error.

    Two normal numbers give the direction; their length, which is Rayleigh distributed, gives the rank of the error.
    """
    errors = draw.errors
    noise = draw.noise(errors.error_shares, tuple(points.shape), errors.error_mixing, errors.jumps)
    length = noise.norm(dim=-1)
    keypoint = torch.arange(errors.num_keypoints, device=points.device)
    distance = quantile(errors.error, errors.levels, 1 - torch.exp(-(length**2) / 2), keypoint, hidden.long())
    bias = torch.where(hidden[..., None], errors.bias[:, 1], errors.bias[:, 0])  # [..., 23, 2]
    bias = torch.einsum("...ka,...ad->...kd", bias, trunk_axes(points, size))
    return size[..., None, None] * (bias + noise * (distance / length.clamp(min=1e-6))[..., None])


def _confidence(hidden: Tensor, off: Tensor, draw: _Draw) -> tuple[Tensor, Tensor]:
    """Confidence and spread [..., T, P, 23] of keypoints that are `off` by so much of the person's size."""
    errors = draw.errors
    keypoint = torch.arange(errors.num_keypoints, device=off.device)
    index = (keypoint, hidden.long(), torch.bucketize(off.contiguous(), errors.error_edges))
    confidence_rank, spread_rank = (
        draw.keypoints(errors.confidence_shares, errors.confidence_mixing),
        draw.keypoints(errors.confidence_shares),
    )
    return (
        quantile(errors.confidence, errors.levels, confidence_rank, *index),
        quantile(errors.spread, errors.levels, spread_rank, *index),
    )


def _rates(table: Tensor, hidden: Tensor) -> Tensor:
    """table [23, 2] (seen, hidden) for each keypoint [..., 23]."""
    return torch.where(hidden, table[:, 1], table[:, 0])


_HIPS = [11, 12]


def sample_cue(
    points_cam: Tensor,
    hidden: Tensor,
    agree: Tensor,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
) -> Tensor:
    """Cue points [..., T, P, 23, 4]: metres from the mid-hip in camera axes, and confidence.

    points_cam [..., T, P, 23, 3] true points in metres; hidden [..., T, P, 23]; agree [..., T, P, 23] whether both
    looks mean the same point, else the confidence is 0. The whole person is turned and scaled by what lasts long, then
    every point moves by itself.
    """
    truth = points_cam - points_cam[..., _HIPS, :].mean(-2, keepdim=True)
    people, device = points_cam.shape[:-2], points_cam.device

    def rank(shares: Tensor, *shape: int) -> Tensor:
        return normal_rank(correlated_noise((*people, *shape), shares, errors.times, fps, generator))

    axis, keypoint = torch.arange(3, device=device), torch.arange(errors.num_keypoints, device=device)
    turn = quantile(errors.cue_turn, errors.levels, rank(errors.cue_shares[0], 1, 3)[..., 0, :], axis)
    scale = quantile(errors.cue_scale, errors.levels, rank(errors.cue_shares[1], 1, 1)[..., 0, 0])
    ranks = rank(errors.cue_shares[2], errors.num_keypoints, 3)
    moved = quantile(errors.cue_residual, errors.levels, ranks, keypoint[:, None], hidden.long()[..., None], axis)
    points = scale.exp()[..., None, None] * truth @ axis_angle_to_matrix(turn).transpose(-1, -2) + moved
    points = points - points[..., _HIPS, :].mean(-2, keepdim=True)
    ranks = rank(errors.confidence_shares, errors.num_keypoints, 1)[..., 0]
    confidence = quantile(errors.cue_confidence, errors.levels, ranks, keypoint, hidden.long())
    return torch.cat([points, (confidence * agree).clamp(0, 1)[..., None]], dim=-1)
