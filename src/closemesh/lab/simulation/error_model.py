"""Samples 2D and 3D keypoints of known people from the error distributions, in batches, on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.skeleton import ANKLE_OF_FOOT
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.simulation.detector_errors import DetectorErrors, correlated_noise, normal_rank, quantile
from closemesh.lab.simulation.statistics import ARMS, LEGS, LIMB_KINDS, MIRROR, facing_class, trunk_axes
from closemesh.perception.keypoints.uncertainty import box_diagonal, limb_distance, resolve_shared_keypoints

MAX_SNAP_DISTANCE = 0.5  # Fraction of the person's size: how far a keypoint may jump to a partner's.
_ON_LIMB = 0.07  # Fraction of the person's size: the width of a limb.
_SAME_POINTS = 1e-3  # Pixels.
_HIPS = [11, 12]


@dataclass(frozen=True)
class SampledKeypoints:
    """Keypoints as the detector would give them."""

    points: Tensor  # [..., T, P, 23, 2] pixels
    confidence: Tensor  # [..., T, P, 23] 0 where nothing is detected
    disagreement: Tensor  # [..., T, P, 23] distance between detection and crop pose, of the box diagonal
    present: Tensor  # [..., T, P] the person is detected


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

    points2d: [..., T, P, 23, 2] true pixels. hidden: [..., T, P, 23]. size: [..., T, P] `person_size`, pixels.
    partner: [..., T, P, 23, 2] true pixels of the nearest other person, nan or None without one. All tensors and the
    generator live on one device.
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
    resolve_shared: bool = True,
) -> SampledKeypoints:
    """Sampled keypoints with disagreement and presence; arguments as in `sample_detections`.

    points2d: [..., T, P, 23, 2]. hidden: [..., T, P, 23]. size: [..., T, P]. partner: [..., T, P, 23, 2].
    Keypoints that two people claim are resolved as in perception, unless `resolve_shared` is false.
    """
    ranks = _RankSampler(errors, tuple(points2d.shape[:-2]), fps, generator)
    if partner is None:
        partner = torch.full_like(points2d, torch.nan)
    occlusion = occlusion_class(hidden, errors)
    hidden = hidden | _confused(points2d, partner, size, ranks)
    target, hidden = _flip_sides(points2d, hidden, ranks)
    target, hidden = _switch_identities(target, hidden, partner, occlusion, ranks)
    points = target + _offsets(points2d, hidden, size, ranks)
    points = _snap(points, target, hidden, points2d, partner, size, ranks)
    distance = (points - target).norm(dim=-1) / size[..., None]
    confidence, disagreement = _confidence(hidden, distance, ranks)
    present = ranks.per_person(errors.event_variances[2]) >= errors.absent[occlusion]
    missed = ranks.per_keypoint(errors.miss_variances)[..., list(ANKLE_OF_FOOT)] < _rates(errors.miss, hidden)
    confidence = torch.where(missed | ~present[..., None], 0.0, confidence.clamp(0, 1))
    if resolve_shared:
        confidence = resolve_shared_keypoints(points, confidence, box_diagonal(points2d))
    return SampledKeypoints(points, confidence, disagreement, present)


def place_outside(
    sampled: SampledKeypoints,
    truth: Tensor,
    size: Tensor,
    image_size: Tensor,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
) -> SampledKeypoints:
    """The keypoints with those beyond the image border missed, or placed inside as a network does that sees nothing.

    truth: [..., T, P, 23, 2] true pixels. size: [..., T, P] `person_size`. image_size: [..., 2] width and height.
    """
    limit = image_size.to(truth)[..., None, None, None, :]
    outside = ((truth < 0) | (truth >= limit)).any(-1)  # [..., T, P, 23]
    ranks = _RankSampler(errors, tuple(truth.shape[:-2]), fps, generator)
    inside = outside & (ranks.per_keypoint(errors.miss_variances)[..., list(ANKLE_OF_FOOT)] < errors.outside_rate)
    inset = quantile(errors.outside_inset, errors.levels, ranks.per_keypoint(errors.error_variances))
    inset = torch.minimum((inset * size[..., None])[..., None], 0.45 * limit)
    points = torch.where(
        inside[..., None], torch.minimum(torch.maximum(sampled.points, inset), limit - inset), sampled.points
    )
    rank = ranks.per_keypoint(errors.confidence_variances, errors.confidence_mixing)
    confidence = torch.where(inside, quantile(errors.outside_confidence, errors.levels, rank), 0.0)
    confidence = torch.where(outside, confidence * sampled.present[..., None], sampled.confidence)
    return replace(sampled, points=points, confidence=confidence)


def occlusion_class(hidden: Tensor, errors: DetectorErrors) -> Tensor:
    """[...] class of the hidden fraction of a person; hidden [..., 23]."""
    return torch.bucketize(hidden.to(errors.hidden_edges.dtype).mean(-1), errors.hidden_edges)


def nearest_partner_keypoints(points: Tensor, partner: Tensor) -> Tensor:
    """[..., 23] index of the partner's nearest elbow, wrist, knee or ankle of the same kind; -1 for other keypoints.

    points: [..., 23, 2] of a person. partner: [..., 23, 2].
    """
    nearest = torch.full(points.shape[:-1], -1, dtype=torch.long, device=points.device)
    for kind in LIMB_KINDS:
        own, others = points[..., kind, :], partner[..., kind, :]
        nearer = (own[..., :, None, :] - others[..., None, :, :]).norm(dim=-1).argmin(-1)  # [..., 2]
        nearest[..., kind] = torch.tensor(kind, device=points.device)[nearer]
    return nearest


def select_keypoints(points: Tensor, index: Tensor) -> Tensor:
    """[..., 23, 2] of points [..., 23, 2] at index [..., 23]; nan where the index is -1."""
    selected = points.gather(-2, index.clamp(min=0)[..., None].expand(*index.shape, points.shape[-1]))
    return torch.where((index < 0)[..., None], torch.nan, selected)


class _RankSampler:
    """Ranks 0..1 of random events and errors, correlated over time."""

    def __init__(self, errors: DetectorErrors, batch: tuple[int, ...], fps: float, generator: torch.Generator) -> None:
        self.errors = errors
        self._batch, self._fps, self._generator = batch, fps, generator

    def noise(
        self, variances: Tensor, shape: tuple[int, ...], mixing: Tensor | None = None, jumps: Tensor | float = 0.0
    ) -> Tensor:
        return correlated_noise(shape, variances, self.errors.times, self._fps, self._generator, mixing, jumps)

    def per_keypoint(self, variances: Tensor, mixing: Tensor | None = None) -> Tensor:
        """[..., T, P, 23]."""
        return normal_rank(self.noise(variances, (*self._batch, self.errors.num_keypoints, 1), mixing))[..., 0]

    def per_person(self, variances: Tensor) -> Tensor:
        """[..., T, P]."""
        return normal_rank(self.noise(variances, (*self._batch, 1, 1)))[..., 0, 0]

    def common(self, variances: Tensor) -> Tensor:
        """[..., T, 1] one rank for all people."""
        return normal_rank(self.noise(variances, (*self._batch[:-1], 1, 1, 1)))[..., 0, 0]


def _flip_sides(points: Tensor, hidden: Tensor, ranks: _RankSampler) -> tuple[Tensor, Tensor]:
    """The points that the detector's left and right refer to, and whether they are hidden."""
    bounds = ranks.errors.left_right_flip.cumsum(0)[:, facing_class(points)]  # [3, ..., T, P]
    rank = ranks.per_person(ranks.errors.event_variances[0])
    all_sides = rank < bounds[0]
    flipped = torch.zeros_like(hidden)
    flipped[..., ARMS] = (all_sides | ((rank >= bounds[0]) & (rank < bounds[1])))[..., None]
    flipped[..., LEGS] = (all_sides | ((rank >= bounds[1]) & (rank < bounds[2])))[..., None]
    flipped[..., :5] = all_sides[..., None]
    points = torch.where(flipped[..., None], points[..., MIRROR, :], points)
    return points, torch.where(flipped, hidden[..., MIRROR], hidden)


def _confused(points: Tensor, partner: Tensor, size: Tensor, ranks: _RankSampler) -> Tensor:
    """[..., T, P, 23] keypoints on a partner's limb that the detector sees no better than hidden ones."""
    if not ranks.errors.partner_confusion.any():
        return torch.zeros(points.shape[:-1], dtype=torch.bool, device=points.device)
    limbs = torch.cat([partner, torch.ones_like(partner[..., :1])], dim=-1)
    on_limb = limb_distance(points, limbs) < _ON_LIMB * size[..., None]  # False where nan.
    return on_limb & (ranks.per_keypoint(ranks.errors.miss_variances) < ranks.errors.partner_confusion)


def _switch_identities(
    target: Tensor, hidden: Tensor, partner: Tensor, occlusion: Tensor, ranks: _RankSampler
) -> tuple[Tensor, Tensor]:
    """In some frames a track is on the partner's body; both people switch together."""
    rank = ranks.common(ranks.errors.event_variances[1])
    has_partner = partner.isfinite().all(-1).all(-1)
    switched = ((rank < ranks.errors.identity_switch[occlusion]) & has_partner)[..., None]
    return torch.where(switched[..., None], partner, target), hidden & ~switched


def _snap(
    points: Tensor, target: Tensor, hidden: Tensor, truth: Tensor, partner: Tensor, size: Tensor, ranks: _RankSampler
) -> Tensor:
    """The points with some elbows, wrists, knees and ankles at the partner's detected ones."""
    index = nearest_partner_keypoints(target, partner)
    distance = (select_keypoints(partner, index) - target).norm(dim=-1)
    within = distance < MAX_SNAP_DISTANCE * size[..., None]  # False where nan.
    rates = _rates(ranks.errors.partner_snap, hidden)
    snapped = within & (ranks.per_keypoint(ranks.errors.partner_snap_variances) < rates)
    return torch.where(snapped[..., None], select_keypoints(_detected_partner(points, truth, partner), index), points)


def _detected_partner(points: Tensor, truth: Tensor, partner: Tensor) -> Tensor:
    """[..., T, P, 23, 2] detected points of each partner who is one of the people, else the true points."""
    distance = (partner[..., :, None, :, :] - truth[..., None, :, :, :]).abs().amax((-1, -2))  # [..., T, P, P]
    person = distance.nan_to_num(nan=torch.inf).argmin(-1)[..., None, None].expand(*points.shape)
    is_one = (distance < _SAME_POINTS).any(-1)[..., None, None]
    return torch.where(is_one, points.gather(-3, person), partner)


def _offsets(points: Tensor, hidden: Tensor, size: Tensor, ranks: _RankSampler) -> Tensor:
    """[..., T, P, 23, 2] pixels: bias and error.

    Two normal numbers give the direction. Their length is Rayleigh distributed and gives the rank of the error.
    """
    errors = ranks.errors
    noise = ranks.noise(errors.error_variances, tuple(points.shape), errors.error_mixing, errors.jumps)
    length = noise.norm(dim=-1)
    keypoint = torch.arange(errors.num_keypoints, device=points.device)
    distance = quantile(errors.error, errors.levels, 1 - torch.exp(-(length**2) / 2), keypoint, hidden.long())
    bias = torch.where(hidden[..., None], errors.bias[:, 1], errors.bias[:, 0])  # [..., 23, 2]
    bias = torch.einsum("...ka,...ad->...kd", bias, trunk_axes(points, size))
    return size[..., None, None] * (bias + noise * (distance / length.clamp(min=1e-6))[..., None])


def _confidence(hidden: Tensor, distance: Tensor, ranks: _RankSampler) -> tuple[Tensor, Tensor]:
    """Confidence and disagreement [..., T, P, 23] of keypoints at this distance from the true point, of the size."""
    errors = ranks.errors
    keypoint = torch.arange(errors.num_keypoints, device=distance.device)
    interval = torch.bucketize(distance.contiguous(), errors.error_edges)
    state = hidden.long()
    confidence_rank = ranks.per_keypoint(errors.confidence_variances, errors.confidence_mixing)
    disagreement_rank = ranks.per_keypoint(errors.confidence_variances)
    return (
        quantile(errors.confidence, errors.levels, confidence_rank, keypoint, state, interval),
        quantile(errors.disagreement, errors.levels, disagreement_rank, keypoint, state, interval),
    )


def _rates(table: Tensor, hidden: Tensor) -> Tensor:
    """table [23, 2] (visible, hidden) for each keypoint [..., 23]."""
    return torch.where(hidden, table[:, 1], table[:, 0])


def sample_keypoints3d(
    points_cam: Tensor,
    hidden: Tensor,
    agree: Tensor,
    errors: DetectorErrors,
    generator: torch.Generator,
    fps: float = 30.0,
) -> Tensor:
    """[..., T, P, 23, 4] monocular 3D keypoints in meters from the mid-hip, camera axes, and confidence.

    The whole person is rotated and scaled by slow errors, then each keypoint has its own residual.
    points_cam: [..., T, P, 23, 3] true points, meters. hidden: [..., T, P, 23]. agree: [..., T, P, 23] whether
    detection and crop pose agree; elsewhere the confidence is 0.
    """
    truth = points_cam - points_cam[..., _HIPS, :].mean(-2, keepdim=True)
    people, device = points_cam.shape[:-2], points_cam.device

    def rank(variances: Tensor, *shape: int) -> Tensor:
        return normal_rank(correlated_noise((*people, *shape), variances, errors.times, fps, generator))

    axis, keypoint = torch.arange(3, device=device), torch.arange(errors.num_keypoints, device=device)
    variances = errors.keypoints3d_variances
    rotation = quantile(errors.keypoints3d_rotation, errors.levels, rank(variances[0], 1, 3)[..., 0, :], axis)
    scale = quantile(errors.keypoints3d_scale, errors.levels, rank(variances[1], 1, 1)[..., 0, 0])
    ranks, is_hidden = rank(variances[2], errors.num_keypoints, 3), hidden.long()
    residual = quantile(
        errors.keypoints3d_residual, errors.levels, ranks, keypoint[:, None], is_hidden[..., None], axis
    )
    rotated = scale.exp()[..., None, None] * truth @ axis_angle_to_matrix(rotation).transpose(-1, -2)
    points = rotated + residual
    points = points - points[..., _HIPS, :].mean(-2, keepdim=True)
    ranks = rank(errors.confidence_variances, errors.num_keypoints, 1)[..., 0]
    confidence = quantile(errors.keypoints3d_confidence, errors.levels, ranks, keypoint, is_hidden)
    return torch.cat([points, (confidence * agree).clamp(0, 1)[..., None]], dim=-1)
