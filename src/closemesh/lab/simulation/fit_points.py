"""Detector error distributions of single keypoints: errors, confidence, misses and snaps to a partner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from closemesh.core.arrays import Bools, Floats
from closemesh.lab.simulation.error_labels import ErrorLabels
from closemesh.lab.simulation.measure import MeasuredVideo
from closemesh.lab.simulation.statistics import (
    LEVELS,
    LIMB_KINDS,
    MIRROR,
    correlation_factor,
    event_variances,
    jump_fraction,
    lagged_correlation,
    normal_scores,
    process_variances,
    quantiles,
    rayleigh_lengths,
    trunk_axes,
)

ERROR_EDGES = np.array([0.02, 0.04, 0.08, 0.16])
"""Classes of the distance of a keypoint from its target, of the person's size."""
MIN_SAMPLES = 60
"""A distribution with fewer samples is taken from a wider class."""
_MAX_BIASED = 0.15  # Fraction of the person's size; larger errors have other causes than bias.
_KEYPOINTS = range(len(MIRROR))
_GROUPS = ([0, 1, 2, 3, 4], [5, 6, 11, 12], [7, 8, 9, 10], [13, 14, 15, 16], [17, 18, 19, 20, 21, 22])
"""Head, trunk, arms, legs, feet: keypoints of a group replace one another when one has too few samples."""
_GROUP_OF = {keypoint: group for group in _GROUPS for keypoint in group}
_SIDE_SIGN = np.where(np.array(MIRROR) > np.arange(len(MIRROR)), 1, -1) * (np.array(MIRROR) != np.arange(len(MIRROR)))
"""[23] 1 for the left, -1 for the right, 0 for the nose."""


class KeypointSamples:
    """Samples of all videos as arrays over N people and frames."""

    def __init__(self, videos: list[MeasuredVideo], labels: list[ErrorLabels]) -> None:
        self.fps = videos[0].fps
        self._shapes = [video.truth.size.shape for video in videos]
        self.error = pool_frames([label.error for label in labels])
        self.distance = pool_frames([label.distance for label in labels])
        self.hidden = pool_frames([label.target_hidden for label in labels])
        self.missed = pool_frames([label.missed for label in labels])
        self.snap_possible = pool_frames([label.snap_possible for label in labels])
        self.partner_snap = pool_frames([label.partner_snap for label in labels])
        self.confidence = pool_frames([video.detections.raw[..., 2] for video in videos])
        self.disagreement = pool_frames([video.detections.disagreement for video in videos])
        self.axes = pool_frames([_trunk_axes(video) for video in videos])

    def series(self, values: Floats) -> list[Floats]:
        """values [N, ...] split into the videos [T, P, ...] that they came from."""
        ends = np.cumsum([t * p for t, p in self._shapes])
        parts = np.split(values, ends[:-1])
        return [part.reshape(*shape, *part.shape[1:]) for part, shape in zip(parts, self._shapes, strict=True)]

    def fit(self) -> dict[str, Floats]:
        """The fields of DetectorErrors about single keypoints, by name; shapes [...] as there."""
        bias = self._fit_bias()
        own_bias = np.where(self.hidden[..., None], bias[:, 1], bias[:, 0])  # [N, 23, 2]
        unbiased = self.error - np.einsum("nka,nad->nkd", own_bias, self.axes)
        lengths = np.linalg.norm(unbiased, axis=-1)
        limbs = [k for kind in LIMB_KINDS for k in kind]
        return {
            "bias": bias,
            **self._fit_error(unbiased, lengths),
            **self._fit_confidence(),
            **self._fit_rate("miss", self.missed, np.isfinite(self.distance) | self.missed),
            **self._fit_rate("partner_snap", self.partner_snap, self.snap_possible, limbs),
        }

    def _fit_bias(self) -> Floats:
        """[23, 2, 2] least squares over small errors, the same for both sides of the body."""
        bias = np.zeros((len(MIRROR), 2, 2))
        for k in _KEYPOINTS:
            for hidden in (False, True):
                parts = [self._bias_equations(one, hidden) for one in sorted({k, MIRROR[k]})]
                design, errors = (np.concatenate(part) for part in zip(*parts, strict=True))
                if len(errors) >= 2 * MIN_SAMPLES:
                    bias[k, int(hidden)] = np.linalg.lstsq(design, errors, rcond=None)[0] * (1, _SIDE_SIGN[k])
        return bias

    def _bias_equations(self, k: int, hidden: bool) -> tuple[Floats, Floats]:
        """Design matrix [2 N, 2] and errors [2 N] of keypoint k; across is positive away from the trunk."""
        near = (self.hidden[:, k] == hidden) & (np.linalg.norm(self.error[:, k], axis=-1) < _MAX_BIASED)
        axes = self.axes[near] * np.array([1, _SIDE_SIGN[k]])[:, None]  # [N, 2 axes, 2]
        return axes.transpose(0, 2, 1).reshape(-1, 2), self.error[near, k].reshape(-1)

    def _fit_error(self, unbiased: Floats, lengths: Floats) -> dict[str, Floats]:
        table = np.stack([[self._quantiles(lengths, k, hidden) for hidden in (False, True)] for k in _KEYPOINTS])
        noise = np.full(unbiased.shape, np.nan)
        for k in _KEYPOINTS:
            for hidden in (False, True):
                rows = np.isfinite(lengths[:, k]) & (self.hidden[:, k] == hidden)
                if rows.any():
                    direction = unbiased[rows, k] / np.maximum(lengths[rows, k, None], 1e-9)
                    noise[rows, k] = direction * rayleigh_lengths(lengths[rows, k])[:, None]
        both = np.concatenate([noise, noise[:, MIRROR]]).transpose(0, 2, 1).reshape(-1, len(MIRROR))
        processes = [self._fit_processes(noise[:, [k, MIRROR[k]]]) for k in _KEYPOINTS]
        variances, jumps = (np.stack(part) for part in zip(*processes, strict=True))
        return {"error": table, "error_variances": variances, "jumps": jumps, "error_mixing": correlation_factor(both)}

    def _fit_confidence(self) -> dict[str, Floats]:
        """Tables per class of error; correlations are measured on the ranks within a class."""
        given = np.isfinite(self.distance)
        grade = np.digitize(np.where(given, self.distance, 0), ERROR_EDGES)
        tables: dict[str, Floats] = {}
        for name, measured in (("confidence", self.confidence), ("disagreement", self.disagreement)):
            values = np.where(given, measured, np.nan)
            classes = [(h, grade == e) for h in (False, True) for e in range(len(ERROR_EDGES) + 1)]
            table = np.stack([[self._quantiles(values, k, h, rows) for h, rows in classes] for k in _KEYPOINTS])
            tables[name] = table.reshape(len(MIRROR), 2, -1, len(LEVELS))
        scores = np.full(given.shape, np.nan)
        for k in _KEYPOINTS:
            cells = 2 * grade[:, k] + self.hidden[:, k]
            for cell in np.unique(cells):
                rows = given[:, k] & (cells == cell)
                scores[rows, k] = normal_scores(self.confidence[rows, k]) if rows.sum() > 1 else np.nan
        variances = process_variances(lagged_correlation(self.series(scores)), self.fps)
        both = np.concatenate([scores, scores[:, MIRROR]])
        return {**tables, "confidence_variances": variances, "confidence_mixing": correlation_factor(both)}

    def _fit_rate(
        self, name: str, happened: Bools, possible: Bools, keypoints: list[int] | None = None
    ) -> dict[str, Floats]:
        """Rates [23, 2], the same for both sides of the body, and the variances [C] of the event over time."""
        rates = np.zeros((len(MIRROR), 2))
        for k in keypoints or _KEYPOINTS:
            for hidden in (False, True):
                rows = possible & (self.hidden == hidden)
                for kind in ([k, MIRROR[k]], _GROUP_OF[k]):
                    if rows[:, kind].sum() >= MIN_SAMPLES:
                        rates[k, int(hidden)] = happened[:, kind][rows[:, kind]].mean()
                        break
        rate = (possible & happened).sum(0) / np.maximum(possible.sum(0), 1)  # [23]
        informative = (rate > 0) & (rate < 1)  # A constant event has no correlation over time.
        events = np.where(possible, happened, np.nan)[:, informative]
        mean = np.nanmean(events) if events.size else 0.0
        return {name: rates, f"{name}_variances": event_variances(self.series(events), float(mean), self.fps)}

    def _quantiles(self, values: Floats, k: int, hidden: bool, rows: Bools | None = None) -> Floats:
        """[Q] of values [N, 23] of both sides of keypoint k; of wider and wider classes while samples are too few."""
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
            samples = values[:, kind][mask[:, kind]]
            if len(samples) >= MIN_SAMPLES:
                return quantiles(samples)
        return quantiles(samples) if len(samples) else np.zeros(len(LEVELS))

    def _fit_processes(self, noise: Floats) -> tuple[Floats, float]:
        """Variances [C] of the processes in noise [N, 2 sides, 2], and the fraction of them that jumps."""
        series = self.series(noise)
        variances = process_variances(lagged_correlation(series), self.fps)
        steps = np.concatenate([np.linalg.norm(np.diff(one, axis=0), axis=-1).ravel() for one in series])
        if np.isfinite(steps).sum() < MIN_SAMPLES:
            return variances, 0.0
        # Apparent white noise consists of jumps and returns: between them a detector is steady.
        variances = np.array([0, variances[0] + variances[1], *variances[2:]])
        return variances, jump_fraction(float(np.nanmedian(steps)), variances, self.fps)


def _trunk_axes(video: MeasuredVideo) -> Floats:
    """[T, P, 2, 2]."""
    return trunk_axes(torch.as_tensor(video.truth.pixels), torch.as_tensor(video.truth.size)).numpy()


def pool_frames(parts: Sequence[np.ndarray]) -> np.ndarray:
    """[N, ...] the parts [T, P, ...] of all videos, concatenated over people and frames."""
    return np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
