"""Standing feet on the floor: heights of bodies whose legs are not those that were captured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from closemesh.body.feet import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.interactions.pair_motion import PairMotion

_SMOOTH = 3.0  # Frames, standard deviation of the Gaussian over heights.


def sole_body(body: BodyModel) -> BodyModel:
    """Only the soles of a body: 12 vertices of the left foot, then 12 of the right."""
    return body.subset(sole_vertices(body).flatten())


def settle_on_floor(motion: PairMotion, standing: Tensor, soles: BodyModel) -> PairMotion:
    """The motion raised or lowered smoothly so that feet that stand do so at y = 0.

    standing [T, 2, 2] bool, person and foot; somebody who never stands stays where he is.
    """
    vertices, _ = motion.skin(soles)
    height = vertices[..., 1].unflatten(-1, (2, -1)).amin(-1)  # [T, 2, 2]
    height = height.masked_fill(~standing, torch.inf).amin(-1)  # [T, 2]
    rise = np.stack([_smooth(height[:, person].numpy()) for person in range(2)], axis=-1)
    pelvis = motion.pelvis.clone()
    pelvis[..., 1] -= torch.as_tensor(rise, dtype=pelvis.dtype)
    return replace(motion, pelvis=pelvis)


def _smooth(height: np.ndarray) -> np.ndarray:
    """Heights [T] without the gaps (inf) in which nobody stands, smooth in time."""
    known = np.flatnonzero(np.isfinite(height))
    if len(known) == 0:
        return np.zeros_like(height)
    filled = np.interp(np.arange(len(height)), known, height[known])
    return gaussian_filter1d(filled, _SMOOTH, mode="nearest")
