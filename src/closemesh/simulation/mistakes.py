"""What kind of mistake each detection is: of the person, of the side, of one limb, or only of a few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from closemesh.scene import Bools, Floats
from closemesh.simulation.error_model import SNAP_REACH, same_kind, take_points
from closemesh.simulation.figure import ARMS, LEGS, MIRROR
from closemesh.simulation.measure import Measured, mean_distance

_CLEARLY = 0.5  # The other reading of a detection must be off by less than this share of what the named one is.
_FAR = 0.1  # Of the person's size: limbs and people nearer to each other than this are not told apart.
_SNAPPED = 0.08  # Of the person's size: how near a snapped keypoint lies to the partner's.


@dataclass(frozen=True)
class Mistakes:
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


def find_mistakes(film: Measured) -> Mistakes:
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
    return Mistakes(
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
