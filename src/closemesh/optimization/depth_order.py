"""Depth order of two people: competing orders are rendered and compared with the views, as sorting has no gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from closemesh.avatars.fit import photometric_loss, target_image
from closemesh.avatars.render import render_avatars
from closemesh.avatars.views import TrainingView
from closemesh.body.motion import MotionParameters
from closemesh.core.arrays import Bools
from closemesh.core.progress import Advance
from closemesh.optimization.appearance import COLOR_ONLY, AppearanceModel
from closemesh.structures import DepthOrder

SHIFTS = (-0.6, -0.4, -0.25, -0.12, 0.0, 0.12, 0.25, 0.4, 0.6)  # Meters that a is moved away relative to b.
PART_SECONDS = 1.0  # Views that are compared together.
FADE_SECONDS = 0.3  # From the depths of one part to those of the next.
MIN_DEPTH = 0.1  # Meters; no person is moved nearer to the camera.
MIN_GAIN = 0.003  # Fraction of the loss; half a percent of the people's pixels in quite another color.
MIN_MARGIN = 3.0  # Gain over its standard error, over the views, plus a third of MIN_GAIN.
TOUCHING_FACTOR = 3.0  # On MIN_MARGIN, for people who touch: another depth would end the contact.
_ENOUGH = 0.8  # Fraction of the largest gain: the smallest shift with as much is taken.


def resolve_depth_order(
    appearance: AppearanceModel,
    parameters: MotionParameters,
    pairs: Mapping[tuple[int, int], Bools],
    times: Tensor,
    advance: Advance,
) -> tuple[MotionParameters, tuple[DepthOrder, ...]]:
    """The parameters with people moved along their rays where the views clearly show another order, and the orders.

    People keep their size in meters, so a move changes the pixels that they cover. A shift has to lower the loss as it
    is applied; its margin is that of occlusion alone, as a size in pixels is no evidence of an order, and would move
    people of one color. A change covers all frames from the middle of the gap before its views to that of the gap
    after them; at the ends of the clip it is held. pairs: the frames [T] in which each pair touches. times [T] seconds.
    """
    found: list[DepthOrder] = []
    for (a, b), touching in pairs.items():
        parts = list(_parts([view for view in appearance.views if _both_present(appearance, view, a, b)], times))
        trials = []
        for part in parts:
            in_contact = bool(touching[[view.frame for view in part]].mean() > 0.5)
            trials.append(_compare(appearance, parameters, part, (a, b), TOUCHING_FACTOR if in_contact else 1.0))
            advance(1)
        if any(trial.shift != 0 for trial in trials):
            borders = _borders(parts, times)
            found += _orders((a, b), trials, borders, times)
            parameters = _moved(parameters, (a, b), part_weights(borders, times), [trial.shift for trial in trials])
    return parameters, tuple(found)


@dataclass(frozen=True)
class _Trial:
    """The best shift of one part of the clip."""

    shift: float
    margin: float


def count_parts(views: Sequence[TrainingView], num_pairs: int, times: Tensor) -> int:
    """How often `resolve_depth_order` advances at most; times [T] seconds."""
    return num_pairs * sum(1 for _ in _parts(list(views), times))


@torch.no_grad()
def _compare(
    appearance: AppearanceModel,
    parameters: MotionParameters,
    part: Sequence[TrainingView],
    pair: tuple[int, int],
    evidence: float,
) -> _Trial:
    """evidence: factor on the margin that a shift needs."""
    gains = _gains(appearance, parameters, part, pair, scaled=True)
    overlapping = gains.abs().amax(1) > MIN_GAIN  # In the other views, no order is right or wrong.
    if not overlapping.any():
        return _Trial(0.0, 0.0)
    gains = gains[overlapping]
    mean = gains.mean(0)
    std = gains.std(0, correction=min(1, len(gains) - 1))
    error = std / len(gains) ** 0.5 + MIN_GAIN / MIN_MARGIN
    needed = evidence * MIN_MARGIN
    if not (mean > needed * error).any():
        return _Trial(0.0, float((mean / error).max()))
    applied = _gains(appearance, parameters, part, pair, scaled=False).mean(0)
    mean = torch.where(applied > 0, mean, 0.0)
    good = mean > _ENOUGH * mean.max()
    chosen = min((k for k in range(len(SHIFTS)) if good[k]), key=lambda k: abs(SHIFTS[k]), default=0)
    margin = float(mean[chosen] / error[chosen])
    return _Trial(SHIFTS[chosen] if margin > needed else 0.0, margin)


def _gains(
    appearance: AppearanceModel,
    parameters: MotionParameters,
    part: Sequence[TrainingView],
    pair: tuple[int, int],
    scaled: bool,
) -> Tensor:
    """[N, shifts] by how much each shift lowers the loss of each view."""
    losses = torch.stack([_losses(appearance, parameters, view, *pair, scaled) for view in part])
    return losses[:, SHIFTS.index(0.0), None] - losses


def _losses(
    appearance: AppearanceModel, parameters: MotionParameters, view: TrainingView, a: int, b: int, scaled: bool
) -> Tensor:
    """[shifts] of one view: as the shifts are applied, or with people scaled so that only occlusion changes."""
    current = parameters.frames(slice(view.frame, view.frame + 1))
    vertices, pelvis = appearance.vertices(current)[0], current.pelvis()[0]  # [P, V, 3], [P, 3]
    people = appearance.avatars.gaussians(appearance.present_in(view))
    target = target_image(view, len(appearance.avatars.avatars), vertices.device)
    losses = []
    for shift in SHIFTS:
        moved = vertices.clone()
        for person, part in ((a, 0.5), (b, -0.5)):
            depth = pelvis[person, 2]
            farther = _shifted(depth, part * shift) / depth - 1
            moved[person] += farther * (vertices[person] if scaled else pelvis[person])
        rendered = render_avatars(appearance.avatars, people, moved, view.viewport)
        losses.append(photometric_loss(rendered, target, 0.0, COLOR_ONLY))
    return torch.stack(losses)


def _shifted(depth: Tensor, shift: float) -> Tensor:
    """Depths in meters after a shift."""
    return (depth + shift).clamp(min=MIN_DEPTH)


def _moved(
    parameters: MotionParameters, pair: tuple[int, int], weights: Tensor, shifts: Sequence[float]
) -> MotionParameters:
    """Each person moved along the ray by half of the shift of each part; weights [N, T] of the parts in each frame."""
    log_depth = parameters.log_depth.clone()
    for person, half in zip(pair, (0.5, -0.5), strict=True):
        depth = log_depth[:, person].exp()
        moved = torch.stack([_shifted(depth, half * shift).log() for shift in shifts])  # [N, T]
        log_depth[:, person] = (weights * moved).sum(0)
    return parameters.with_tensors(log_depth=log_depth)


def _borders(parts: Sequence[Sequence[TrainingView]], times: Tensor) -> list[float]:
    """The times in seconds in the middle of the gaps between the views of neighboring parts."""
    return [float(times[one[-1].frame] + times[other[0].frame]) / 2 for one, other in pairwise(parts)]


def part_weights(borders: Sequence[float], times: Tensor) -> Tensor:
    """[N, T] weight of each of N parts in every frame, crossfaded at the N - 1 borders; adds up to 1.

    borders and times [T] in seconds.
    """
    if not borders:
        return torch.ones_like(times)[None]
    half = min(FADE_SECONDS, *np.diff(borders)) / 2  # Two fades in one part do not overlap.
    rising = torch.stack([((times - border) / (2 * half) + 0.5).clamp(0, 1) for border in borders])
    steps = torch.cat([torch.ones_like(rising[:1]), rising, torch.zeros_like(rising[:1])])
    return steps[:-1] - steps[1:]


def _orders(
    pair: tuple[int, int], trials: Sequence[_Trial], borders: Sequence[float], times: Tensor
) -> Iterator[DepthOrder]:
    """The changed orders; each lasts from border to border."""
    limits = torch.searchsorted(times.contiguous(), torch.tensor(borders, dtype=times.dtype, device=times.device))
    starts = [0, *limits.tolist(), len(times)]
    for trial, (start, end) in zip(trials, pairwise(starts), strict=True):
        if trial.shift != 0:
            yield DepthOrder(*pair, start, end - 1, trial.shift, trial.margin)


def _both_present(appearance: AppearanceModel, view: TrainingView, a: int, b: int) -> bool:
    present = appearance.present_in(view)
    return present[a] and present[b]


def _parts(views: list[TrainingView], times: Tensor) -> Iterator[list[TrainingView]]:
    """The views in parts of PART_SECONDS."""
    part: list[TrainingView] = []
    for view in views:
        if part and float(times[view.frame] - times[part[0].frame]) > PART_SECONDS:
            yield part
            part = []
        part.append(view)
    if part:
        yield part
