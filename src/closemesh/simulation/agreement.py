"""Are simulated detections like real ones? Both on the same scenes, keypoint by keypoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.progress import Progress
from closemesh.scene import NUM_CUE_POINTS, Bools, Observations
from closemesh.simulation.detections import simulate_observations
from closemesh.simulation.detector_errors import DetectorErrors
from closemesh.simulation.measure import Detected, FilmConfig, Measured, Truth, each_film


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


def agreement(real: list[Measured], simulated: list[Detected]) -> list[Agreement]:
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

    def __init__(self, films: list[tuple[Measured, Detected]]) -> None:
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


def _film_samples(truth: Truth, found: Bools, detected: Detected) -> tuple[np.ndarray, ...]:
    """Counted, hidden, given, error, step and confidence [T * P, 23] of one film."""
    offset = (detected.keypoints[..., :2] - truth.pixels) / truth.size[..., None, None]
    given = detected.visible[..., None] & (detected.keypoints[..., 2] > 0)
    offset = np.where(given[..., None], offset, np.nan)
    step = np.full(given.shape, np.nan)
    step[1:] = np.linalg.norm(np.diff(offset, axis=0), axis=-1)
    counted = (truth.valid & found)[..., None] & ~truth.outside
    arrays = (counted, truth.hidden, given, np.linalg.norm(offset, axis=-1), step, detected.keypoints[..., 2])
    return tuple(array.reshape(-1, NUM_CUE_POINTS) for array in arrays)


def _simulated(film: Measured, observations: Observations) -> Detected:
    """Only what the table needs is filled in; the rest is that of the film."""
    return replace(
        film.detected,
        keypoints=observations.keypoints[:, :, :NUM_CUE_POINTS],
        visible=observations.visible,
    )
