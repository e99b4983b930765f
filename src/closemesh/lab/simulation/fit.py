"""Person-level distributions, entry point.

From measured films to distributions: whole people, their boxes, identities and 3D cues.

Measures the detector's errors on films of captured motion and writes them down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.lab.datasets.registry import split_motion_files
from closemesh.lab.simulation.detector_errors import DetectorErrors, save_detector_errors
from closemesh.lab.simulation.error_labels import ErrorLabels, label_errors
from closemesh.lab.simulation.fit_points import ERROR_EDGES, PointSamples
from closemesh.lab.simulation.measure import FilmConfig, Measured, measure_films
from closemesh.lab.simulation.statistics import (
    FLIPS,
    LEVELS,
    MIRROR,
    TIMES,
    VIEWS,
    event_shares,
    lagged_correlation,
    lasting_shares,
    normal_scores,
    quantiles,
    view,
)
from closemesh.perception.keypoints.topdown import AGREEMENT

HIDDEN_EDGES = np.array([0.15, 0.35, 0.55])
"""Classes of the share of a person's keypoints that is hidden."""
_LEAST = 60
_CUE_POINTS = 8  # Confident points that are needed to say how a cue is turned.
_CUE_CONFIDENCE = 0.3
_HIPS = [11, 12]
_NUM_KEYPOINTS = 23


def fit_people(films: list[Measured], mistakes: list[ErrorLabels]) -> dict[str, Floats]:
    """The fields of DetectorErrors that tell of whole people."""
    fps = films[0].fps
    crowd = [np.digitize(film.truth.hidden.mean(-1), HIDDEN_EDGES) for film in films]
    views = [view(torch.as_tensor(film.truth.pixels)).numpy() for film in films]
    seen = [mistake.counted & ~mistake.absent for mistake in mistakes]
    flips = np.stack(
        [_rates([m.flipped[..., f] for m in mistakes], seen, views, len(VIEWS)) for f in range(len(FLIPS))]
    )
    partnered = [s & np.isfinite(film.truth.partner).all((-1, -2)) for s, film in zip(seen, films, strict=True)]
    classes = len(HIDDEN_EDGES) + 1
    shares = [
        _event_shares([np.any(mistake.flipped, axis=-1) for mistake in mistakes], seen, fps),
        _event_shares([mistake.swapped for mistake in mistakes], partnered, fps),
        _event_shares([mistake.absent for mistake in mistakes], [mistake.counted for mistake in mistakes], fps),
    ]
    return {
        "flip": flips,
        "swap": _rates([mistake.swapped for mistake in mistakes], partnered, crowd, classes),
        "absent": _rates([m.absent for m in mistakes], [m.counted for m in mistakes], crowd, classes),
        "event_shares": np.stack(shares),
        "track_score": _track_scores(films, seen, crowd),
        **_fit_boxes(films, mistakes, fps),
    }


def _rates(happened: list[Bools], possible: list[Bools], classes: list[np.ndarray], count: int) -> Floats:
    """[count] share of possible frames [T, P] in which something happened, for each class [T, P] of them."""
    happened_, possible_, classes_ = (
        np.concatenate([one.ravel() for one in part]) for part in (happened, possible, classes)
    )
    overall = happened_[possible_].mean() if possible_.any() else 0.0
    rates = np.full(count, overall)
    for c in range(count):
        rows = possible_ & (classes_ == c)
        if rows.sum() >= _LEAST:
            rates[c] = happened_[rows].mean()
    return rates


def _event_shares(happened: list[Bools], possible: list[Bools], fps: float) -> Floats:
    events = [np.where(can, did, np.nan) for did, can in zip(happened, possible, strict=True)]
    known = np.concatenate([one[np.isfinite(one)] for one in events])
    return event_shares(events, float(known.mean()) if len(known) else 0.0, fps)


def _track_scores(films: list[Measured], seen: list[Bools], crowd: list[np.ndarray]) -> Floats:
    """[S, Q]."""
    scores = np.concatenate([film.detected.track_scores[rows] for film, rows in zip(films, seen, strict=True)])
    classes = np.concatenate([one[rows] for one, rows in zip(crowd, seen, strict=True)])
    tables = []
    for c in range(len(HIDDEN_EDGES) + 1):
        found = scores[classes == c]
        tables.append(quantiles(found if len(found) >= _LEAST else scores))
    return np.stack(tables)


def _fit_boxes(films: list[Measured], mistakes: list[ErrorLabels], fps: float) -> dict[str, Floats]:
    """How far the sides of the box lie outwards of the true body keypoints' box, people cut by the border left out."""
    outwards = []
    for film, mistake in zip(films, mistakes, strict=True):
        body, boxes = film.truth.pixels[:, :, :17], film.detected.boxes
        sides = (
            np.concatenate([body.min(2) - boxes[..., :2], boxes[..., 2:] - body.max(2)], -1)
            / film.truth.size[..., None]
        )
        whole = mistake.counted & ~mistake.absent & ~mistake.swapped & ~film.truth.outside.any(-1)
        outwards.append(np.where(whole[..., None], sides, np.nan))
    together = np.concatenate([one.reshape(-1, 4) for one in outwards])
    together = together[np.isfinite(together).all(-1)]
    mean, deviation = together.mean(0), np.maximum(together.std(0), 1e-9)
    normal = [np.clip((one - mean) / deviation, -3, 3) for one in outwards]
    return {"box": quantiles_of_columns(together), "box_shares": lasting_shares(lagged_correlation(normal), fps)}


def quantiles_of_columns(samples: Floats) -> Floats:
    """[K, Q] of samples [N, K]."""
    return np.quantile(samples, LEVELS, axis=0).T


def fit_cue(films: list[Measured], mistakes: list[ErrorLabels]) -> dict[str, Floats]:
    """The fields of DetectorErrors that tell of the 3D cue."""
    turns, scales, residuals, hidden, confidences, agree = [], [], [], [], [], []
    for film, mistake in zip(films, mistakes, strict=True):
        usable = mistake.counted & ~mistake.absent & ~mistake.swapped & ~mistake.flipped.any(-1)
        turn, scale, residual = _align(film, usable)
        turns.append(turn)
        scales.append(scale)
        residuals.append(residual)
        hidden.append(film.truth.hidden)
        confidences.append(film.detected.cue_points[..., 3])
        agree.append(usable[..., None] & (film.detected.spread < 0.99 * AGREEMENT) & ~film.truth.outside)
    fps = films[0].fps
    shares = [_shares_of(values, fps) for values in (turns, scales, residuals)]
    turn, scale = (np.concatenate([one.reshape(-1, one.shape[-1]) for one in part]) for part in (turns, scales))
    residual, hidden_, confidence, agree_ = (
        np.concatenate([one.reshape(-1, *one.shape[2:]) for one in part])
        for part in (residuals, hidden, confidences, agree)
    )
    confidence = np.where(agree_ & (confidence > 0), confidence, np.nan)
    return {
        "cue_turn": quantiles_of_columns(turn[np.isfinite(turn).all(-1)]),
        "cue_scale": quantiles(scale[np.isfinite(scale)]),
        "cue_residual": _residual_tables(residual, hidden_),
        "cue_confidence": _confidence_tables(confidence, hidden_),
        "cue_shares": np.stack(shares),
    }


def _align(film: Measured, usable: Bools) -> tuple[Floats, Floats, Floats]:
    """Turn [T, P, 3] in radians and log scale [T, P, 1] of the true points, and the rest [T, P, 23, 3] in metres."""
    shape = usable.shape
    turn, scale = np.full((*shape, 3), np.nan), np.full((*shape, 1), np.nan)
    residual = np.full((*shape, _NUM_KEYPOINTS, 3), np.nan)
    truth = film.truth.points_cam - film.truth.points_cam[:, :, _HIPS].mean(2, keepdims=True)
    cue = film.detected.cue_points
    given = cue[..., :3] - cue[:, :, _HIPS, :3].mean(2, keepdims=True)
    for t, p in np.argwhere(usable):
        sure = cue[t, p, :, 3] > _CUE_CONFIDENCE
        if sure.sum() < _CUE_POINTS:
            continue
        rotation = Rotation.align_vectors(given[t, p, sure], truth[t, p, sure])[0]
        turned = rotation.apply(truth[t, p])
        factor = (turned[sure] * given[t, p, sure]).sum() / (turned[sure] ** 2).sum()
        if factor <= 0:
            continue
        turn[t, p], scale[t, p] = rotation.as_rotvec(), np.log(factor)
        residual[t, p] = np.where(cue[t, p, :, 3:] > 0, given[t, p] - factor * turned, np.nan)
    return turn, scale, residual


def _shares_of(values: list[Floats], fps: float) -> Floats:
    """[C] of series [T, P, ...] of any distribution."""
    long = np.concatenate([one.ravel() for one in values])
    known = np.isfinite(long)
    scores = np.full(long.shape, np.nan)
    scores[known] = normal_scores(long[known])
    ends = np.cumsum([one.size for one in values])[:-1]
    series = [part.reshape(one.shape) for part, one in zip(np.split(scores, ends), values, strict=True)]
    return lasting_shares(lagged_correlation(series), fps)


def _residual_tables(residual: Floats, hidden: Bools) -> Floats:
    """[23, 2, 3, Q] of residual [N, 23, 3]; the other side of the body is its mirror image."""
    tables = np.zeros((_NUM_KEYPOINTS, 2, 3, len(LEVELS)))
    residual = np.concatenate([residual, residual[:, MIRROR] * (-1, 1, 1)])
    hidden = np.concatenate([hidden, hidden[:, MIRROR]])
    known: Bools = np.isfinite(residual).all(axis=-1)  # type: ignore[assignment]
    for k in range(_NUM_KEYPOINTS):
        for h in (0, 1):
            rows = known[:, k] & (hidden[:, k] == bool(h))
            rows = rows if rows.sum() >= _LEAST else known[:, k]
            if rows.any():
                tables[k, h] = quantiles_of_columns(residual[rows, k])
    return tables


def _confidence_tables(confidence: Floats, hidden: Bools) -> Floats:
    """[23, 2, Q] of confidence [N, 23], nan where the two looks disagree."""
    tables = np.zeros((_NUM_KEYPOINTS, 2, len(LEVELS)))
    known = np.isfinite(confidence)
    for k in range(_NUM_KEYPOINTS):
        for h in (0, 1):
            rows = known[:, k] & (hidden[:, k] == bool(h))
            rows = rows if rows.sum() >= _LEAST else known[:, k]
            if rows.any():
                tables[k, h] = quantiles(confidence[rows, k])
    return tables


def fit_detector_errors(data: Path, out: Path, config: FilmConfig, progress: Progress) -> DetectorErrors:
    """Errors of the bundled detector on films made of the motion below `data`, written to `out`.

    Motion that is held out for measuring is left out. Raises InputError when there is no motion of enough frames or
    nobody was found in any film.
    """
    learn, _ = split_motion_files(data)
    films = measure_films(learn, config, progress)
    pairs = sum(film.truth.valid.shape[1] > 1 for film in films)
    about = (
        f"{len(films)} rendered films of {config.frames} frames, {pairs} of them with two people, seed {config.seed}"
    )
    errors = errors_of_films(films, about)
    save_detector_errors(out, errors)
    return errors


def errors_of_films(films: list[Measured], measured_on: str) -> DetectorErrors:
    """The distributions of all mistakes in these films. Raises InputError when nobody was found in any of them."""
    films = [film for film in films if film.found.any()]
    if not films:
        raise InputError(
            "the detector found nobody in any film, so that its errors cannot be measured; make more films"
        )
    mistakes = [label_errors(film) for film in films]
    arrays = {
        **{"levels": LEVELS, "times": TIMES, "error_edges": ERROR_EDGES, "hidden_edges": HIDDEN_EDGES},
        **PointSamples(films, mistakes).fit(),
        **fit_people(films, mistakes),
        **fit_cue(films, mistakes),
    }
    tensors = {name: torch.as_tensor(array, dtype=torch.float32) for name, array in arrays.items()}
    return DetectorErrors(**tensors, measured_on=measured_on)
