"""Who is in front: competing orders of depth drawn and compared with the pictures, as sorting has no gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.avatars.fit import photometric_loss, target_image
from closemesh.avatars.render import render_avatars
from closemesh.avatars.views import TrainingView
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance
from closemesh.optimization.appearance import COLOUR_ALONE, AppearanceModel
from closemesh.structures import DepthOrder

SHIFTS = (-0.6, -0.4, -0.25, -0.12, 0.0, 0.12, 0.25, 0.4, 0.6)  # Metres that a is moved away against b.
SECONDS = 1.0  # Frames that are judged together.
LEAST_GAIN = 0.003  # Of the loss; half a percent of the people's pixels in quite another colour.
SURE = 3.0  # Standard errors, over the pictures, that the gain must have.
_ENOUGH = 0.8  # Of the largest gain: the smallest shift that gives as much is taken.


def resolve_depth_order(
    looks: AppearanceModel,
    variables: MotionParameters,
    pairs: Sequence[tuple[int, int]],
    times: Tensor,
    advance: Advance,
) -> tuple[MotionParameters, tuple[DepthOrder, ...]]:
    """The variables with people moved along their rays where the pictures clearly show another order; and where.

    Moved so, and scaled with their distance while they are compared, people cover the same pixels: what changes is
    who hides whom, and nothing else. times [T] seconds.
    """
    found: list[DepthOrder] = []
    for a, b in pairs:
        for part in _parts([one for one in looks.pictures if _both(looks, one, a, b)], times):
            trial = _compare(looks, variables, part, a, b)
            advance(1)
            if trial.shift != 0:
                start, end = part[0].frame, part[-1].frame
                found.append(DepthOrder(a, b, start, end, trial.shift, trial.margin))
                variables = _moved(variables, found[-1])
    return variables, tuple(found)


@dataclass(frozen=True)
class _Trial:
    """The best shift of one part of the clip."""

    shift: float
    margin: float


def count_parts(pictures: Sequence[TrainingView], num_pairs: int, times: Tensor) -> int:
    """How often `put_in_order` advances at most."""
    return num_pairs * sum(1 for _ in _parts(list(pictures), times))


@torch.no_grad()
def _compare(
    looks: AppearanceModel, variables: MotionParameters, part: Sequence[TrainingView], a: int, b: int
) -> _Trial:
    losses = torch.stack([_losses(looks, variables, picture, a, b) for picture in part])  # [N, shifts]
    gains = losses[:, SHIFTS.index(0.0), None] - losses
    mean = gains.mean(0)
    spread = gains.std(0, correction=min(1, len(part) - 1))
    error = spread / len(part) ** 0.5 + LEAST_GAIN / SURE
    good = mean > _ENOUGH * mean.max()
    chosen = min((k for k in range(len(SHIFTS)) if good[k]), key=lambda k: abs(SHIFTS[k]), default=0)
    margin = float(mean[chosen] / error[chosen])
    sure = margin > SURE and float(mean[chosen]) > LEAST_GAIN
    return _Trial(SHIFTS[chosen] if sure else 0.0, margin)


def _losses(looks: AppearanceModel, variables: MotionParameters, picture: TrainingView, a: int, b: int) -> Tensor:
    """[shifts] of one picture."""
    now = variables.frames(slice(picture.frame, picture.frame + 1))
    vertices, depth = looks.vertices(now)[0], now.log_depth.exp()[0]
    people = looks.cast.gaussians(looks.present_in(picture))
    seen = target_image(picture, len(looks.cast.avatars), vertices.device)
    losses = []
    for shift in SHIFTS:
        moved = vertices.clone()
        moved[a] *= 1 + shift / 2 / depth[a]
        moved[b] *= 1 - shift / 2 / depth[b]
        losses.append(
            photometric_loss(render_avatars(looks.cast, people, moved, picture.viewport), seen, 0.0, COLOUR_ALONE)
        )
    return torch.stack(losses)


def _moved(variables: MotionParameters, order: DepthOrder) -> MotionParameters:
    """Both people half of the way, along their rays, in the frames of the order."""
    log_depth, frames = variables.log_depth.clone(), slice(order.start, order.end + 1)
    for person, way in ((order.person_a, 0.5), (order.person_b, -0.5)):
        log_depth[frames, person] = (log_depth[frames, person].exp() + way * order.shift).log()
    return variables.with_tensors(log_depth=log_depth)


def _both(looks: AppearanceModel, picture: TrainingView, a: int, b: int) -> bool:
    present = looks.present_in(picture)
    return present[a] and present[b]


def _parts(pictures: list[TrainingView], times: Tensor) -> Iterator[list[TrainingView]]:
    """The pictures in stretches of SECONDS."""
    part: list[TrainingView] = []
    for picture in pictures:
        if part and float(times[picture.frame] - times[part[0].frame]) > SECONDS:
            yield part
            part = []
        part.append(picture)
    if part:
        yield part
