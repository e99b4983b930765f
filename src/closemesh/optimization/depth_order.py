"""Depth order of two people: competing orders are rendered and compared with the views, as sorting has no gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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

    During the comparison people are scaled with their distance, so that they cover the same pixels: only the occlusion
    changes. pairs: the frames [T] in which each pair touches. times [T] seconds.
    """
    found: list[DepthOrder] = []
    for (a, b), touching in pairs.items():
        for part in _parts([view for view in appearance.views if _both_present(appearance, view, a, b)], times):
            in_contact = bool(touching[[view.frame for view in part]].mean() > 0.5)
            trial = _compare(appearance, parameters, part, (a, b), TOUCHING_FACTOR if in_contact else 1.0)
            advance(1)
            if trial.shift != 0:
                start, end = part[0].frame, part[-1].frame
                found.append(DepthOrder(a, b, start, end, trial.shift, trial.margin))
                parameters = _moved(parameters, found[-1])
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
    losses = torch.stack([_losses(appearance, parameters, view, *pair) for view in part])  # [N, shifts]
    gains = losses[:, SHIFTS.index(0.0), None] - losses
    mean = gains.mean(0)
    std = gains.std(0, correction=min(1, len(part) - 1))
    error = std / len(part) ** 0.5 + MIN_GAIN / MIN_MARGIN
    good = mean > _ENOUGH * mean.max()
    chosen = min((k for k in range(len(SHIFTS)) if good[k]), key=lambda k: abs(SHIFTS[k]), default=0)
    margin = float(mean[chosen] / error[chosen])
    return _Trial(SHIFTS[chosen] if margin > evidence * MIN_MARGIN else 0.0, margin)


def _losses(appearance: AppearanceModel, parameters: MotionParameters, view: TrainingView, a: int, b: int) -> Tensor:
    """[shifts] of one view."""
    current = parameters.frames(slice(view.frame, view.frame + 1))
    vertices, depth = appearance.vertices(current)[0], current.log_depth.exp()[0]
    people = appearance.avatars.gaussians(appearance.present_in(view))
    target = target_image(view, len(appearance.avatars.avatars), vertices.device)
    losses = []
    for shift in SHIFTS:
        moved = vertices.clone()
        moved[a] *= 1 + shift / 2 / depth[a]
        moved[b] *= 1 - shift / 2 / depth[b]
        rendered = render_avatars(appearance.avatars, people, moved, view.viewport)
        losses.append(photometric_loss(rendered, target, 0.0, COLOR_ONLY))
    return torch.stack(losses)


def _moved(parameters: MotionParameters, order: DepthOrder) -> MotionParameters:
    """Each person moved by half of the shift, along the ray, in the frames of the order."""
    log_depth, frames = parameters.log_depth.clone(), slice(order.start, order.end + 1)
    for person, part in ((order.person_a, 0.5), (order.person_b, -0.5)):
        log_depth[frames, person] = (log_depth[frames, person].exp() + part * order.shift).log()
    return parameters.with_tensors(log_depth=log_depth)


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
