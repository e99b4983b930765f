"""The kind of each detection error, and a comparison of real with simulated detections per keypoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.lab.simulation.detections import simulate_observations
from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.error_model import MAX_SNAP_DISTANCE, nearest_partner_keypoints, select_keypoints
from closemesh.lab.simulation.measure import (
    Detections,
    GroundTruth,
    MeasuredVideo,
    VideoConfig,
    iterate_videos,
    mean_distance,
)
from closemesh.lab.simulation.statistics import ARMS, LEGS, MIRROR
from closemesh.structures import NUM_KEYPOINTS3D, Observations

_CLEARLY_NEARER = 0.5  # Maximal distance from the other interpretation, relative to that from the named one.
_MIN_SEPARATION = 0.1  # Fraction of the person's size: limbs and people nearer to each other are not distinguished.
_SNAP_DISTANCE = 0.08  # Fraction of the person's size: maximal distance of a snapped keypoint from the partner's.


@dataclass(frozen=True)
class ErrorLabels:
    """Labels of the detections in one video; T frames, P people."""

    counted: Bools
    """[T, P] the person is present, at least half inside the image, and has a track."""
    absent: Bools
    """[T, P] counted, but not detected in this frame."""
    identity_switch: Bools
    """[T, P] the detection shows the partner."""
    left_right_flip: Bools
    """[T, P, 3] sides exchanged: of all keypoints, of the arms, of the legs."""
    snap_possible: Bools
    """[T, P, 23] the partner's keypoint of the same kind is near, but clearly separate."""
    partner_snap: Bools
    """[T, P, 23] on the partner's keypoint."""
    missed: Bools
    """[T, P, 23] no keypoint, although the person is detected and the point lies inside the image."""
    target: Floats
    """[T, P, 23, 2] the true point that the detection refers to, with sides as the detector names them."""
    target_hidden: Bools
    """[T, P, 23] whether that point is hidden."""
    error: Floats
    """[T, P, 23, 2] from the target, of the person's size; nan where missed, snapped, switched or outside."""
    distance: Floats
    """[T, P, 23] from the target, of the person's size, also of snapped keypoints; nan where missed or switched."""


def label_errors(video: MeasuredVideo) -> ErrorLabels:
    """The most likely interpretation of each detection."""
    truth, raw, detected = video.truth, video.detections.raw, video.detections.detected
    counted = truth.valid & ((~truth.outside).mean(-1) > 0.5) & video.found
    observed = counted & detected
    size = truth.size[..., None]
    named = mean_distance(raw, truth.pixels)
    switched = observed & _clearly_nearer(mean_distance(raw, truth.partner), named, truth.size)
    flipped = _flips(video) & (observed & ~switched)[..., None]
    target, hidden = _targets(truth, flipped)
    distance = np.linalg.norm(raw[..., :2] - target, axis=-1) / size
    partner = torch.as_tensor(truth.partner)
    other = select_keypoints(partner, nearest_partner_keypoints(torch.as_tensor(target), partner)).numpy()
    other_distance = np.linalg.norm(other - raw[..., :2], axis=-1) / size
    separation = np.linalg.norm(other - target, axis=-1) / size
    measurable = (observed & ~switched)[..., None] & ~truth.outside
    given = measurable & (raw[..., 2] > 0)
    snap_possible = given & (separation < MAX_SNAP_DISTANCE) & (separation > _MIN_SEPARATION)
    snapped = snap_possible & (other_distance < _SNAP_DISTANCE) & (other_distance < _CLEARLY_NEARER * distance)
    error = (raw[..., :2] - target) / size[..., None]
    return ErrorLabels(
        counted=counted,
        absent=counted & ~detected,
        identity_switch=switched,
        left_right_flip=flipped,
        snap_possible=snap_possible,
        partner_snap=snapped,
        missed=measurable & ~given,
        target=target,
        target_hidden=hidden,
        error=np.where((given & ~snapped)[..., None], error, np.nan),
        distance=np.where(given, distance, np.nan),
    )


def _clearly_nearer(other: Floats, named: Floats, size: Floats) -> Bools:
    """[...] of distances in pixels; nan counts as no."""
    return (other < _CLEARLY_NEARER * named) & (named > _MIN_SEPARATION * size)


def _flips(video: MeasuredVideo) -> Bools:
    """[T, P, 3]."""
    truth, raw = video.truth, video.detections.raw
    exchanged = truth.pixels[:, :, MIRROR]
    arms, legs = (
        _clearly_nearer(
            mean_distance(raw[:, :, group], exchanged[:, :, group]),
            mean_distance(raw[:, :, group], truth.pixels[:, :, group]),
            truth.size,
        )
        for group in (ARMS, LEGS)
    )
    return np.stack([arms & legs, arms & ~legs, legs & ~arms], axis=-1)


def _targets(truth: GroundTruth, flipped: Bools) -> tuple[Floats, Bools]:
    """True points under the names that the detector gives them, and whether they are hidden."""
    exchanged = np.zeros(truth.hidden.shape, bool)
    all_sides, arms, legs = np.moveaxis(flipped, -1, 0)
    exchanged[:, :, :5] = all_sides[..., None]
    exchanged[:, :, ARMS] = (all_sides | arms)[..., None]
    exchanged[:, :, LEGS] = (all_sides | legs)[..., None]
    target = np.where(exchanged[..., None], truth.pixels[:, :, MIRROR], truth.pixels)
    return target, np.where(exchanged, truth.hidden[:, :, MIRROR], truth.hidden)


@dataclass(frozen=True)
class KeypointMetrics:
    """Detection metrics of one kind of keypoint. Errors are relative to the person's size, nan without detections."""

    median_error: float
    error_90: float
    """90th percentile."""
    median_step: float
    """Change of the error from one frame to the next."""
    missed: float
    """Fraction of points inside the image without a keypoint, with people who were not detected in a frame."""
    confidence: float
    """Mean over detected keypoints."""


@dataclass(frozen=True)
class DetectionComparison:
    """One line of the table; both sides of the body together."""

    keypoint: str
    hidden: bool
    points: int
    real: KeypointMetrics
    simulated: KeypointMetrics


def compare_detections(
    files: list[Path], config: VideoConfig, progress: Progress, errors: DetectorErrors | None = None
) -> list[DetectionComparison]:
    """The real detector on rendered videos against simulated detections of the same scenes.

    files: motion that was not used to measure the errors. Raises InputError when it is too short, ModelFileError when
    the bundled errors are missing.
    """
    videos, simulated = [], []
    for scene, video in iterate_videos(files, config, progress):
        videos.append(video)
        observations = simulate_observations(scene, config.seed + len(videos), errors).observations
        simulated.append(_as_detections(video, observations))
    return comparison_table(videos, simulated)


def comparison_table(real: list[MeasuredVideo], simulated: list[Detections]) -> list[DetectionComparison]:
    """The table for videos and other detections of the same people. People without a track are left out."""
    kinds: dict[str, list[int]] = {}
    for k, name in enumerate(KEYPOINT_NAMES[:NUM_KEYPOINTS3D]):
        kinds.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(k)
    samples_real = _Samples([(video, video.detections) for video in real])
    samples_simulated = _Samples(list(zip(real, simulated, strict=True)))
    return [
        DetectionComparison(
            keypoint=kind.replace("_", " "),
            hidden=hidden,
            points=int(samples_real.rows(indices, hidden).sum()),
            real=samples_real.metrics(indices, hidden),
            simulated=samples_simulated.metrics(indices, hidden),
        )
        for kind, indices in kinds.items()
        for hidden in (False, True)
    ]


class _Samples:
    """Samples of all videos: N people and frames."""

    def __init__(self, videos: list[tuple[MeasuredVideo, Detections]]) -> None:
        parts = [_video_samples(video.truth, video.found, detections) for video, detections in videos]
        self._counted, self._hidden, self._given, self._error, self._step, self._confidence = (
            np.concatenate([part[i] for part in parts]) for i in range(6)
        )

    def rows(self, keypoints: list[int], hidden: bool) -> Bools:
        """[N, len(keypoints)] counted samples of these keypoints, hidden or visible."""
        return self._counted[:, keypoints] & (self._hidden[:, keypoints] == hidden)

    def metrics(self, keypoints: list[int], hidden: bool) -> KeypointMetrics:
        rows = self.rows(keypoints, hidden)
        given = rows & self._given[:, keypoints]
        error, step = self._error[:, keypoints][given], self._step[:, keypoints][given]
        step = step[np.isfinite(step)]
        return KeypointMetrics(
            median_error=float(np.median(error)) if len(error) else np.nan,
            error_90=float(np.quantile(error, 0.9)) if len(error) else np.nan,
            median_step=float(np.median(step)) if len(step) else np.nan,
            missed=1 - float(given.sum() / rows.sum()) if rows.any() else np.nan,
            confidence=float(self._confidence[:, keypoints][given].mean()) if len(error) else np.nan,
        )


def _video_samples(truth: GroundTruth, found: Bools, detections: Detections) -> tuple[np.ndarray, ...]:
    """Counted, hidden, given, error, step and confidence [T * P, 23] of one video."""
    keypoints = detections.keypoints
    offset = (keypoints[..., :2] - truth.pixels) / truth.size[..., None, None]
    given = detections.detected[..., None] & (keypoints[..., 2] > 0)
    offset = np.where(given[..., None], offset, np.nan)
    step = np.full(given.shape, np.nan)
    step[1:] = np.linalg.norm(np.diff(offset, axis=0), axis=-1)
    counted = (truth.valid & found)[..., None] & ~truth.outside
    arrays = (counted, truth.hidden, given, np.linalg.norm(offset, axis=-1), step, keypoints[..., 2])
    return tuple(array.reshape(-1, NUM_KEYPOINTS3D) for array in arrays)


def _as_detections(video: MeasuredVideo, observations: Observations) -> Detections:
    """Simulated keypoints for the table; all other fields are those of the video."""
    keypoints = observations.keypoints[:, :, :NUM_KEYPOINTS3D]
    return replace(video.detections, keypoints=keypoints, detected=observations.detected)
