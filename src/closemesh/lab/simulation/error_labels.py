"""Kind of each error, real against simulated.

What kind of mistake each detection is: of the person, of the side, of one limb, or only of a few pixels.

Are simulated detections like real ones? Both on the same scenes, keypoint by keypoint.
"""

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
from closemesh.lab.simulation.error_model import SNAP_REACH, same_kind, take_points
from closemesh.lab.simulation.measure import Detections, FilmConfig, GroundTruth, Measured, each_film, mean_distance
from closemesh.lab.simulation.statistics import ARMS, LEGS, MIRROR
from closemesh.structures import NUM_CUE_POINTS, Observations

_CLEARLY = 0.5  # The other reading of a detection must be off by less than this share of what the named one is.
_FAR = 0.1  # Of the person's size: limbs and people nearer to each other than this are not told apart.
_SNAPPED = 0.08  # Of the person's size: how near a snapped keypoint lies to the partner's.


@dataclass(frozen=True)
class ErrorLabels:
    """Of one film; T frames, P people."""

    counted: Bools
    """[T, P] the person is there and at least half in the picture, and was given a track."""
    absent: Bools
    """[T, P] counted, but not detected in this frame."""
    swapped: Bools
    """[T, P] the detection shows the partner."""
    flipped: Bools
    """[T, P, 3] sides exchanged: of everything, of the arms, of the legs."""
    within_reach: Bools
    """[T, P, 23] the partner's keypoint of the same kind is near, but not too near to tell them apart."""
    snapped: Bools
    """[T, P, 23] on the partner's keypoint."""
    missed: Bools
    """[T, P, 23] no keypoint, though the person was detected and the point lies in the picture."""
    meant: Floats
    """[T, P, 23, 2] the point that the detection means, its sides as the detector names them."""
    meant_hidden: Bools
    """[T, P, 23] whether that point is hidden."""
    error: Floats
    """[T, P, 23, 2] from the meant point, of the person's size; nan where missed, snapped, swapped or outside."""
    off: Floats
    """[T, P, 23] distance from the meant point, of the person's size, snapped ones too; nan where missed or swapped."""


def label_errors(film: Measured) -> ErrorLabels:
    """The most likely reading of each detection."""
    truth, detected = film.truth, film.detected
    counted = truth.valid & ((~truth.outside).mean(-1) > 0.5) & film.found
    seen = counted & detected.visible
    size = truth.size[..., None]
    named = mean_distance(detected.raw, truth.pixels)
    swapped = seen & _clearly_nearer(mean_distance(detected.raw, truth.partner), named, truth.size)
    flipped = _flips(film) & (seen & ~swapped)[..., None]
    meant, hidden = _meant(film, flipped)
    off = np.linalg.norm(detected.raw[..., :2] - meant, axis=-1) / size
    partner = torch.as_tensor(truth.partner)
    other = take_points(partner, same_kind(torch.as_tensor(meant), partner)).numpy()
    other_off = np.linalg.norm(other - detected.raw[..., :2], axis=-1) / size
    apart = np.linalg.norm(other - meant, axis=-1) / size
    measurable = (seen & ~swapped)[..., None] & ~truth.outside
    given = measurable & (detected.raw[..., 2] > 0)
    within_reach = given & (apart < SNAP_REACH) & (apart > _FAR)
    snapped = within_reach & (other_off < _SNAPPED) & (other_off < _CLEARLY * off)
    error = (detected.raw[..., :2] - meant) / size[..., None]
    return ErrorLabels(
        counted=counted,
        absent=counted & ~detected.visible,
        swapped=swapped,
        flipped=flipped,
        within_reach=within_reach,
        snapped=snapped,
        missed=measurable & ~given,
        meant=meant,
        meant_hidden=hidden,
        error=np.where((given & ~snapped)[..., None], error, np.nan),
        off=np.where(given, off, np.nan),
    )


def _clearly_nearer(other: Floats, named: Floats, size: Floats) -> Bools:
    """[...] distances in pixels; nan counts as no."""
    return (other < _CLEARLY * named) & (named > _FAR * size)


def _flips(film: Measured) -> Bools:
    """[T, P, 3]."""
    truth, raw = film.truth, film.detected.raw
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


def _meant(film: Measured, flipped: Bools) -> tuple[Floats, Bools]:
    """True points, and whether they are hidden, under the names that the detector gives them."""
    exchanged = np.zeros(film.truth.hidden.shape, bool)
    everything, arms, legs = np.moveaxis(flipped, -1, 0)
    exchanged[:, :, :5] = everything[..., None]
    exchanged[:, :, ARMS] = (everything | arms)[..., None]
    exchanged[:, :, LEGS] = (everything | legs)[..., None]
    meant = np.where(exchanged[..., None], film.truth.pixels[:, :, MIRROR], film.truth.pixels)
    return meant, np.where(exchanged, film.truth.hidden[:, :, MIRROR], film.truth.hidden)


@dataclass(frozen=True)
class PointFigures:
    """How one kind of keypoint is detected. Errors are shares of the person's size, nan where nothing was detected."""

    median_error: float
    error_90: float
    """Nine of ten are smaller."""
    median_step: float
    """Change of the error from one frame to the next."""
    missed: float
    """Share of points in the picture without a keypoint, people who were not found in a frame included."""
    confidence: float
    """Mean of those that were detected."""


@dataclass(frozen=True)
class Agreement:
    """One line of the table; both sides of the body together."""

    keypoint: str
    hidden: bool
    points: int
    real: PointFigures
    simulated: PointFigures


def compare_detections(
    files: list[Path], config: FilmConfig, progress: Progress, errors: DetectorErrors | None = None
) -> list[Agreement]:
    """The real detector on rendered films against simulated detections of the same scenes.

    files: motion that the errors were not measured on. Raises InputError when it is too short, ModelFileError when
    the bundled errors are missing.
    """
    films, simulated = [], []
    for scene, film in each_film(files, config, progress):
        films.append(film)
        simulated.append(_simulated(film, simulate_observations(scene, config.seed + len(films), errors).observations))
    return agreement(films, simulated)


def agreement(real: list[Measured], simulated: list[Detections]) -> list[Agreement]:
    """The table of films and of other detections of the same people. People who were never found are left out."""
    kinds: dict[str, list[int]] = {}
    for k, name in enumerate(KEYPOINT_NAMES[:NUM_CUE_POINTS]):
        kinds.setdefault(name.removeprefix("left_").removeprefix("right_"), []).append(k)
    samples_real = _Samples([(film, film.detected) for film in real])
    samples_simulated = _Samples(list(zip(real, simulated, strict=True)))
    return [
        Agreement(
            keypoint=kind.replace("_", " "),
            hidden=hidden,
            points=int(samples_real.chosen(indices, hidden).sum()),
            real=samples_real.figures(indices, hidden),
            simulated=samples_simulated.figures(indices, hidden),
        )
        for kind, indices in kinds.items()
        for hidden in (False, True)
    ]


class _Samples:
    """All films one after the other: N people and frames."""

    def __init__(self, films: list[tuple[Measured, Detections]]) -> None:
        parts = [_film_samples(film.truth, film.found, detected) for film, detected in films]
        self._counted, self._hidden, self._given, self._error, self._step, self._confidence = (
            np.concatenate([part[i] for part in parts]) for i in range(6)
        )

    def chosen(self, keypoints: list[int], hidden: bool) -> Bools:
        """[N, len(keypoints)]."""
        return self._counted[:, keypoints] & (self._hidden[:, keypoints] == hidden)

    def figures(self, keypoints: list[int], hidden: bool) -> PointFigures:
        rows = self.chosen(keypoints, hidden)
        given = rows & self._given[:, keypoints]
        error, step = self._error[:, keypoints][given], self._step[:, keypoints][given]
        step = step[np.isfinite(step)]
        return PointFigures(
            median_error=float(np.median(error)) if len(error) else np.nan,
            error_90=float(np.quantile(error, 0.9)) if len(error) else np.nan,
            median_step=float(np.median(step)) if len(step) else np.nan,
            missed=1 - float(given.sum() / rows.sum()) if rows.any() else np.nan,
            confidence=float(self._confidence[:, keypoints][given].mean()) if len(error) else np.nan,
        )


def _film_samples(truth: GroundTruth, found: Bools, detected: Detections) -> tuple[np.ndarray, ...]:
    """Counted, hidden, given, error, step and confidence [T * P, 23] of one film."""
    offset = (detected.keypoints[..., :2] - truth.pixels) / truth.size[..., None, None]
    given = detected.visible[..., None] & (detected.keypoints[..., 2] > 0)
    offset = np.where(given[..., None], offset, np.nan)
    step = np.full(given.shape, np.nan)
    step[1:] = np.linalg.norm(np.diff(offset, axis=0), axis=-1)
    counted = (truth.valid & found)[..., None] & ~truth.outside
    arrays = (counted, truth.hidden, given, np.linalg.norm(offset, axis=-1), step, detected.keypoints[..., 2])
    return tuple(array.reshape(-1, NUM_CUE_POINTS) for array in arrays)


def _simulated(film: Measured, observations: Observations) -> Detections:
    """Only what the table needs is filled in; the rest is that of the film."""
    return replace(
        film.detected,
        keypoints=observations.keypoints[:, :, :NUM_CUE_POINTS],
        visible=observations.detected,
    )
