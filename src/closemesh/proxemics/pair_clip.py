"""One pair over a stretch of a clip: cut into windows for the denoiser, and put together again without seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.fitting.evidence import Evidence
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.proxemics.state import PairSpread, PairState, PairView, pair_view, turn, turn_back
from closemesh.proxemics.windows import NUM_POINTS, WINDOW, PairWindows

STEP = WINDOW // 2


@dataclass(frozen=True)
class PairClip:
    """T frames of two people, camera frame."""

    state: PairState  # [1, T, 2, ...] root as R_cam_root, pelvis in cam
    spread: PairSpread  # [1, T, 2, ...]
    points: Tensor  # [T, 2, 23, 2] pixels
    inverse_sigmas: Tensor  # [T, 2, 23]
    limbs: Tensor  # [T, 2, 14, 4] directions in cam, and weights
    times: Tensor  # [T] seconds
    hidden: Tensor  # [T, 2] bool: nothing is known
    focal: float
    centre: tuple[float, float]

    def __len__(self) -> int:
        return len(self.times)

    def frames(self, index: slice) -> PairClip:
        """Some of the frames."""
        kept = {name: getattr(self, name)[index] for name in ("points", "inverse_sigmas", "limbs", "times", "hidden")}
        state = self.state.map(lambda tensor: tensor[:, index])
        spread = PairSpread(**{f.name: getattr(self.spread, f.name)[:, index] for f in fields(PairSpread)})
        return replace(self, state=state, spread=spread, **kept)


def clip_of(evidence: Evidence, pair: Sequence[int], state: PairState, spread: PairSpread) -> PairClip:
    """Two of the people of the evidence, with their motion over its frames."""
    people = list(pair)
    seen = evidence.seen[:, people] > 0
    limbs = torch.cat([evidence.limb_directions, evidence.limb_weights[..., None]], dim=-1)[:, people]
    return PairClip(
        state=state,
        spread=spread,
        points=evidence.points[:, people, :NUM_POINTS],
        inverse_sigmas=evidence.inverse_sigmas[:, people, :NUM_POINTS] * seen[..., None],
        limbs=limbs * seen[..., None, None],
        times=evidence.times,
        hidden=torch.zeros_like(seen),
        focal=evidence.focal,
        centre=evidence.centre,
    )


@dataclass(frozen=True)
class Cut:
    """Where the windows of a stretch lie, and how they fade into each other."""

    index: Tensor  # [B, WINDOW] frame of each window's frames; the last is repeated in a stretch shorter than a window
    weight: Tensor  # [B, WINDOW] adds up to 1 in every frame


def cut(length: int, device: torch.device | str) -> Cut:
    """Windows of WINDOW frames, one every STEP; the last one ends with the stretch."""
    starts = sorted({*range(0, max(length - WINDOW, 0) + 1, STEP), max(length - WINDOW, 0)})
    frames = torch.arange(WINDOW, device=device)
    index = (torch.tensor(starts, device=device)[:, None] + frames).clamp(max=length - 1)
    ramp = (torch.minimum(frames, frames.flip(0)) + 1.0).expand_as(index)
    total = torch.zeros(length, device=device).index_add(0, index.flatten(), ramp.flatten())
    return Cut(index, ramp / total[index])


def windows_of(clip: PairClip, where: Cut) -> PairWindows:
    """The windows, each in the view of its own pair."""
    state = clip.state.map(lambda tensor: tensor[0][where.index])
    spread = PairSpread(**{f.name: getattr(clip.spread, f.name)[0][where.index] for f in fields(PairSpread)})
    view = pair_view(state.pelvis)
    count, times = len(where.index), clip.times[where.index]
    return PairWindows(
        mean=seen_from(state, view),
        spread=spread,
        view=view,
        points=clip.points[where.index],
        inverse_sigmas=clip.inverse_sigmas[where.index],
        limbs=clip.limbs[where.index],
        times=times,
        focal=times.new_full((count,), clip.focal),
        centre=times.new_tensor(clip.centre).expand(count, 2),
        hidden=clip.hidden[where.index],
        alone=torch.zeros(count, dtype=torch.bool, device=times.device),
    )


def seen_from(state: PairState, view: PairView) -> PairState:
    """A state in the camera frame [B, T, 2, ...] in the views."""
    rotations = torch.cat([turn(view, state.rotations[:, :, :, 0])[:, :, :, None], state.rotations[:, :, :, 1:]], dim=3)
    return PairState(rotations, state.betas, view.points_to_view(state.pelvis))


def seen_by_camera(state: PairState, view: PairView) -> PairState:
    """The inverse of `seen_from`."""
    root = turn_back(view, state.rotations[:, :, :, 0])[:, :, :, None]
    return PairState(
        torch.cat([root, state.rotations[:, :, :, 1:]], dim=3), state.betas, view.points_to_cam(state.pelvis)
    )


def put_together(windows: PairState, view: PairView, where: Cut, length: int) -> PairState:
    """One stretch [1, T, 2, ...] in the camera frame out of windows that fade into each other."""
    cam = seen_by_camera(windows, view)
    blended = {
        "rotations": _blend(matrix_to_6d(cam.rotations), where, length),
        "betas": _blend(cam.betas, where, length),
        "pelvis": _blend(cam.pelvis, where, length),
    }
    return PairState(rotation_6d_to_matrix(blended["rotations"]), blended["betas"], blended["pelvis"])


def agree(state: PairState, view: PairView, where: Cut, length: int) -> PairState:
    """The windows after those that share frames were made one; what each step of the sampling ends with."""
    together = put_together(state, view, where, length)
    return seen_from(together.map(lambda tensor: tensor[0][where.index]), view)


def _blend(values: Tensor, where: Cut, length: int) -> Tensor:
    """[1, T, ...] of values [B, WINDOW, ...]."""
    weighted = values * where.weight.reshape(*where.weight.shape, *([1] * (values.ndim - 2)))
    total = values.new_zeros(length, *values.shape[2:])
    return total.index_add(0, where.index.flatten(), weighted.flatten(0, 1))[None]
