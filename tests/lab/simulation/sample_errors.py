"""Detector errors that are easy to recognize."""

from __future__ import annotations

from dataclasses import replace

import torch

from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.fit import HIDDEN_EDGES
from closemesh.lab.simulation.fit_points import ERROR_EDGES
from closemesh.lab.simulation.statistics import LEVELS, TIMES

Q, C, K, E, S = len(LEVELS), len(TIMES), 23, len(ERROR_EDGES) + 1, len(HIDDEN_EDGES) + 1
WHITE = torch.eye(C)[0]
_LEVELS = torch.as_tensor(LEVELS, dtype=torch.float32)


def no_errors(**changes: torch.Tensor) -> DetectorErrors:
    """A perfect detector except for the changes."""
    errors = DetectorErrors(
        levels=_LEVELS,
        times=torch.as_tensor(TIMES, dtype=torch.float32),
        error_edges=torch.as_tensor(ERROR_EDGES, dtype=torch.float32),
        hidden_edges=torch.as_tensor(HIDDEN_EDGES, dtype=torch.float32),
        bias=torch.zeros(K, 2, 2),
        error=torch.zeros(K, 2, Q),
        error_variances=WHITE.expand(K, C),
        error_mixing=torch.eye(K),
        jumps=torch.zeros(K),
        miss=torch.zeros(K, 2),
        miss_variances=WHITE,
        partner_snap=torch.zeros(K, 2),
        partner_snap_variances=WHITE,
        confidence=torch.ones(K, 2, E, Q),
        confidence_variances=WHITE,
        confidence_mixing=torch.eye(K),
        disagreement=torch.zeros(K, 2, E, Q),
        left_right_flip=torch.zeros(3, 3),
        identity_switch=torch.zeros(S),
        absent=torch.zeros(S),
        event_variances=WHITE.expand(3, C),
        track_confidence=torch.ones(S, Q),
        box=torch.zeros(4, Q),
        box_variances=WHITE,
        keypoints3d_rotation=torch.zeros(3, Q),
        keypoints3d_scale=torch.zeros(Q),
        keypoints3d_residual=torch.zeros(K, 2, 3, Q),
        keypoints3d_confidence=torch.ones(K, 2, Q),
        keypoints3d_variances=WHITE.expand(3, C),
        partner_confusion=torch.zeros(K),
        outside_rate=torch.zeros(K),
        outside_inset=torch.zeros(Q),
        outside_confidence=torch.zeros(Q),
        measured_on="nothing",
    )
    return replace(errors, **changes)


def uniform(high: float, *shape: int) -> torch.Tensor:
    """Quantile functions [*shape, Q] of uniform numbers from 0 to `high`."""
    return (high * _LEVELS).expand(*shape, Q)
