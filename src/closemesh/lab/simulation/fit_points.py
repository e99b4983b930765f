"""From measured films to distributions: keypoints, their errors, confidence, misses and snaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from closemesh.core.arrays import Bools, Floats
from closemesh.lab.simulation.error_labels import ErrorLabels
from closemesh.lab.simulation.measure import Measured
from closemesh.lab.simulation.statistics import (
    LEVELS,
    LIMB_KINDS,
    MIRROR,
    correlation_factor,
    event_shares,
    jumping_share,
    lagged_correlation,
    lasting_shares,
    normal_scores,
    quantiles,
    rayleigh_lengths,
    trunk_axes,
)

ERROR_EDGES = np.array([0.02, 0.04, 0.08, 0.16])
"""Classes of how far a keypoint is off, of the person's size."""
_LEAST = 60  # Samples; a distribution of fewer is taken from a wider class.
_BIAS_WITHIN = 0.15  # Of the person's size: errors beyond are mistakes of another kind than bias.
_KEYPOINTS = range(len(MIRROR))
_GROUPS = ([0, 1, 2, 3, 4], [5, 6, 11, 12], [7, 8, 9, 10], [13, 14, 15, 16], [17, 18, 19, 20, 21, 22])
"""Head, trunk, arms, legs, feet: whose distributions stand in for one another when a keypoint has too few."""
_GROUP_OF = {keypoint: group for group in _GROUPS for keypoint in group}
_OUTWARDS = np.where(np.array(MIRROR) > np.arange(len(MIRROR)), 1, -1) * (np.array(MIRROR) != np.arange(len(MIRROR)))
"""[23] 1 for the left, -1 for the right, 0 for the nose."""


class PointSamples:
    """All films of a fit, as long arrays: N people and frames."""

    def __init__(self, films: list[Measured], mistakes: list[ErrorLabels]) -> None:
        self.fps = films[0].fps
        self._shapes = [film.truth.size.shape for film in films]
        self.error = _long([mistake.error for mistake in mistakes])
        self.off = _long([mistake.off for mistake in mistakes])
        self.hidden = _long([mistake.meant_hidden for mistake in mistakes])
        self.missed = _long([mistake.missed for mistake in mistakes])
        self.within_reach = _long([mistake.within_reach for mistake in mistakes])
        self.snapped = _long([mistake.snapped for mistake in mistakes])
        self.confidence = _long([film.detected.raw[..., 2] for film in films])
        self.spread = _long([film.detected.spread for film in films])
        self.axes = _long([_axes(film) for film in films])

    def series(self, values: Floats) -> list[Floats]:
        """[N, ...] cut into the films [T, P, ...] that it came from."""
        ends = np.cumsum([t * p for t, p in self._shapes])
        parts = np.split(values, ends[:-1])
        return [part.reshape(*shape, *part.shape[1:]) for part, shape in zip(parts, self._shapes, strict=True)]

    def fit(self) -> dict[str, Floats]:
        """The fields of DetectorErrors that tell of single keypoints."""
        bias = self._fit_bias()
        own_bias = np.where(self.hidden[..., None], bias[:, 1], bias[:, 0])  # [N, 23, 2]
        centred = self.error - np.einsum("nka,nad->nkd", own_bias, self.axes)
        lengths = np.linalg.norm(centred, axis=-1)
        return {
            "bias": bias,
            **self._fit_error(centred, lengths),
            **self._fit_confidence(),
            **self._fit_rate("miss", self.missed, np.isfinite(self.off) | self.missed),
            **self._fit_rate("snap", self.snapped, self.within_reach, [k for kind in LIMB_KINDS for k in kind]),
        }

    def _fit_bias(self) -> Floats:
        """[23, 2, 2] least squares over small errors, the same for both sides of the body."""
        bias = np.zeros((len(MIRROR), 2, 2))
        for k in _KEYPOINTS:
            for hidden in (False, True):
                parts = [self._bias_equations(one, hidden) for one in sorted({k, MIRROR[k]})]
                design, errors = (np.concatenate(part) for part in zip(*parts, strict=True))
                if len(errors) >= 2 * _LEAST:
                    bias[k, int(hidden)] = np.linalg.lstsq(design, errors, rcond=None)[0] * (1, _OUTWARDS[k])
        return bias

    def _bias_equations(self, k: int, hidden: bool) -> tuple[Floats, Floats]:
        """[2 N, 2] and [2 N] of keypoint k, across counted outwards."""
        near = (self.hidden[:, k] == hidden) & (np.linalg.norm(self.error[:, k], axis=-1) < _BIAS_WITHIN)
        axes = self.axes[near] * np.array([1, _OUTWARDS[k]])[:, None]  # [N, 2 axes, 2]
        return axes.transpose(0, 2, 1).reshape(-1, 2), self.error[near, k].reshape(-1)

    def _fit_error(self, centred: Floats, lengths: Floats) -> dict[str, Floats]:
        table = np.stack([[self._quantiles(lengths, k, hidden) for hidden in (False, True)] for k in _KEYPOINTS])
        noise = np.full(centred.shape, np.nan)
        for k in _KEYPOINTS:
            for hidden in (False, True):
                rows = np.isfinite(lengths[:, k]) & (self.hidden[:, k] == hidden)
                if rows.any():
                    direction = centred[rows, k] / np.maximum(lengths[rows, k, None], 1e-9)
                    noise[rows, k] = direction * rayleigh_lengths(lengths[rows, k])[:, None]
        both = np.concatenate([noise, noise[:, MIRROR]]).transpose(0, 2, 1).reshape(-1, len(MIRROR))
        lasting = [self._lasting(noise[:, [k, MIRROR[k]]]) for k in _KEYPOINTS]
        shares, jumps = (np.stack(part) for part in zip(*lasting, strict=True))
        return {"error": table, "error_shares": shares, "jumps": jumps, "error_mixing": correlation_factor(both)}

    def _fit_confidence(self) -> dict[str, Floats]:
        """Tables for each class of error; what lasts and goes together is measured on the ranks within a class."""
        given = np.isfinite(self.off)
        grade = np.digitize(np.where(given, self.off, 0), ERROR_EDGES)
        tables: dict[str, Floats] = {}
        for name, measured in (("confidence", self.confidence), ("spread", self.spread)):
            values = np.where(given, measured, np.nan)
            classes = [(h, grade == e) for h in (False, True) for e in range(len(ERROR_EDGES) + 1)]
            table = np.stack([[self._quantiles(values, k, h, rows) for h, rows in classes] for k in _KEYPOINTS])
            tables[name] = table.reshape(len(MIRROR), 2, -1, len(LEVELS))
        scores = np.full(given.shape, np.nan)
        for k in _KEYPOINTS:
            for cell in np.unique(2 * grade[:, k] + self.hidden[:, k]):
                rows = given[:, k] & (2 * grade[:, k] + self.hidden[:, k] == cell)
                scores[rows, k] = normal_scores(self.confidence[rows, k]) if rows.sum() > 1 else np.nan
        shares = lasting_shares(lagged_correlation(self.series(scores)), self.fps)
        both = np.concatenate([scores, scores[:, MIRROR]])
        return {**tables, "confidence_shares": shares, "confidence_mixing": correlation_factor(both)}

    def _fit_rate(
        self, name: str, happened: Bools, possible: Bools, keypoints: list[int] | None = None
    ) -> dict[str, Floats]:
        """Rates [23, 2], the same for both sides of the body, and what lasts of them."""
        rates = np.zeros((len(MIRROR), 2))
        for k in keypoints or _KEYPOINTS:
            for hidden in (False, True):
                rows = possible & (self.hidden == hidden)
                for kind in ([k, MIRROR[k]], _GROUP_OF[k]):
                    if rows[:, kind].sum() >= _LEAST:
                        rates[k, int(hidden)] = happened[:, kind][rows[:, kind]].mean()
                        break
        share = (possible & happened).sum(0) / np.maximum(possible.sum(0), 1)  # [23]
        telling = (share > 0) & (share < 1)  # What always or never happens tells nothing of how long it lasts.
        events = np.where(possible, happened, np.nan)[:, telling]
        mean = np.nanmean(events) if events.size else 0.0
        return {name: rates, f"{name}_shares": event_shares(self.series(events), float(mean), self.fps)}

    def _quantiles(self, values: Floats, k: int, hidden: bool, rows: Bools | None = None) -> Floats:
        """[Q] of values [N, 23] of k's both sides; where they are too few, of ever wider classes."""
        rows = np.ones(values.shape, bool) if rows is None else rows
        rows = rows & np.isfinite(values)
        same = rows & (self.hidden == hidden)
        wider = np.isfinite(values) & (self.hidden == hidden)
        for kind, mask in (
            ([k, MIRROR[k]], same),
            (_GROUP_OF[k], same),
            (_GROUP_OF[k], rows),
            (list(_KEYPOINTS), same),
            (list(_KEYPOINTS), rows),
            ([k, MIRROR[k]], wider),
            (list(_KEYPOINTS), np.isfinite(values)),
        ):
            found = values[:, kind][mask[:, kind]]
            if len(found) >= _LEAST:
                return quantiles(found)
        return quantiles(found) if len(found) else np.zeros(len(LEVELS))

    def _lasting(self, noise: Floats) -> tuple[Floats, float]:
        """Variances [C] of what lasts in noise [N, 2 sides, 2], and which share of it jumps."""
        series = self.series(noise)
        shares = lasting_shares(lagged_correlation(series), self.fps)
        steps = np.concatenate([np.linalg.norm(np.diff(one, axis=0), axis=-1).ravel() for one in series])
        if np.isfinite(steps).sum() < _LEAST:
            return shares, 0.0
        # What looks like white noise are jumps there and back: a detector is steady between them.
        shares = np.array([0, shares[0] + shares[1], *shares[2:]])
        return shares, jumping_share(float(np.nanmedian(steps)), shares, self.fps)


def _axes(film: Measured) -> Floats:
    """[T, P, 2, 2] `trunk_axes`."""
    return trunk_axes(torch.as_tensor(film.truth.pixels), torch.as_tensor(film.truth.size)).numpy()


def _long(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays [T, P, ...] one after the other as [N, ...]."""
    return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
