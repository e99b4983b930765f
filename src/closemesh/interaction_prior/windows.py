"""Windows of a pair, network conditions, merge without seams.

What is known of some windows of a pair, and what the denoiser is told about them.

One pair over a stretch of a clip: cut into windows for the denoiser, and put together again without seams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, capsule_distance
from closemesh.body.landmarks import LandmarkBody, PosedLandmarks, pose_landmarks
from closemesh.body.motion import transl_of
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.interaction_prior.state import (
    PairSpread,
    PairState,
    PairView,
    pack,
    pack_spread,
    pair_view,
    turn,
    turn_back,
)
from closemesh.losses.keypoints import SEGMENTS

WINDOW = 16  # Frames.
NUM_POINTS, NUM_LIMBS = 23, len(SEGMENTS)
_GAP_SCALE, _GAP_LIMIT = 0.05, 0.2  # Metres.
_RESIDUAL_SCALE = 0.1  # Metres.


@dataclass(frozen=True)
class PairWindows:
    """B windows of T frames: the initial motion with its spread, and what was seen."""

    mean: PairState
    spread: PairSpread
    view: PairView
    points: Tensor  # [B, T, 2, 23, 2] pixels
    inverse_sigmas: Tensor  # [B, T, 2, 23] 1 / pixels, 0 where nothing was seen
    limbs: Tensor  # [B, T, 2, 14, 4] unit vectors along the limbs, cam, as the picture shows them; and their weight
    times: Tensor  # [B, T] seconds
    focal: Tensor  # [B] pixels
    centre: Tensor  # [B, 2] pixels
    hidden: Tensor  # [B, T, 2] bool: of these frames of this person nothing is known
    alone: Tensor  # [B] bool: there is no second person
    touching: Tensor | None = None  # [B, T, 17, 17] bool: COARSE_PARTS of a and of b that are said to touch

    def __len__(self) -> int:
        return len(self.times)

    def swapped(self) -> PairWindows:
        """The same with the two people exchanged."""
        people = ("points", "inverse_sigmas", "limbs", "hidden")
        spread = PairSpread(**{f.name: getattr(self.spread, f.name).flip(2) for f in fields(PairSpread)})
        exchanged = {name: getattr(self, name).flip(2) for name in people}
        touching = None if self.touching is None else self.touching.transpose(-1, -2)
        return replace(self, mean=self.mean.swapped(), spread=spread, touching=touching, **exchanged)


@dataclass(frozen=True)
class PairBody:
    """What of the body is needed to see and feel two people: keypoints, and capsules around them."""

    points: LandmarkBody  # Coarse.
    capsules: CapsuleBody

    def to(self, device: torch.device | str) -> PairBody:
        return PairBody(self.points.to(device), self.capsules.to(device))


def pose_pair(body: PairBody, state: PairState) -> PosedLandmarks:
    """Joints [T, B * 2, 22, 3] and keypoints [T, B * 2, 23, 3] of every window, in its view."""
    rotations = state.rotations.transpose(0, 1).flatten(1, 2)  # [T, B * 2, 22, 3, 3]
    betas = state.betas.mean(1).flatten(0, 1)  # [B * 2, 10]
    pelvis = state.pelvis.transpose(0, 1).flatten(1, 2)
    transl = transl_of(body.points, betas, pelvis)
    return pose_landmarks(body.points, betas, rotations, transl)


def by_window(posed: Tensor) -> Tensor:
    """[B, T, 2, N, 3] of points [T, B * 2, N, 3]."""
    return posed.unflatten(1, (-1, 2)).transpose(0, 1)


def project_view(windows: PairWindows, points_view: Tensor) -> Tensor:
    """Pixels [B, T, 2, N, 2] of points [B, T, 2, N, 3] in the views."""
    shape = (-1, 1, 1, 1, 1)
    return project(
        windows.view.points_to_cam(points_view),
        windows.focal.reshape(shape),
        windows.centre[:, None, None, None],
    )


def constant_conditions(windows: PairWindows) -> dict[str, tuple[Tensor, Tensor]]:
    """The conditions that do not change while sampling: what was seen and said, and how sure the start is."""
    seen = {"keypoints": _keypoints(windows), "limbs": _limbs(windows), "spread": _spread(windows)}
    return seen if windows.touching is None else seen | {"touching": _touching(windows.touching)}


def estimate_conditions(windows: PairWindows, estimate: PairState, body: PairBody) -> dict[str, tuple[Tensor, Tensor]]:
    """The conditions that follow from the present estimate: where it is, how bodies cross, where the picture pulls."""
    keypoints = by_window(pose_pair(body, estimate).keypoints)
    gap = capsule_distance(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules)  # [B, T]
    gap = (gap.clamp(-_GAP_LIMIT, _GAP_LIMIT) / _GAP_SCALE)[:, :, None, None].expand(-1, -1, 2, 1)
    together = ~windows.alone[:, None, None].expand_as(windows.hidden)
    moved = (pack(estimate) - pack(windows.mean)) / pack_spread(windows.spread)
    return {
        "estimate": (moved, torch.ones_like(windows.hidden)),
        "penetration": (gap, together),
        "projection": (_residual(windows, keypoints), ~windows.hidden),
    }


def _keypoints(windows: PairWindows) -> tuple[Tensor, Tensor]:
    """Where the rays through the keypoints meet the plane of the pair, metres in the view, and how sharp they are."""
    rays = (windows.points - windows.centre[:, None, None, None]) / windows.focal.reshape(-1, 1, 1, 1, 1)
    rays = torch.einsum("bij,btpkj->btpki", windows.view.R_view_cam, F.pad(rays, (0, 1), value=1.0))
    distance = windows.view.origin_cam.norm(dim=-1).reshape(-1, 1, 1, 1, 1)
    places = (rays[..., :2] / rays[..., 2:].clamp(min=0.1) * distance).clamp(-5, 5)
    seen = (windows.inverse_sigmas > 0)[..., None].float()
    values = torch.cat([places, _sharpness(windows)[..., None], torch.ones_like(seen)], dim=-1) * seen
    return values.flatten(-2), ~windows.hidden


def _limbs(windows: PairWindows) -> tuple[Tensor, Tensor]:
    """Own limbs [B, T, 2, 14 * 4] in the view, by how far each is trusted."""
    directions = torch.einsum("bij,btplj->btpli", windows.view.R_view_cam, windows.limbs[..., :3])
    weights = windows.limbs[..., 3:]
    return torch.cat([directions * weights, weights], dim=-1).flatten(-2), ~windows.hidden


def _sharpness(windows: PairWindows) -> Tensor:
    """[B, T, 2, 23] logarithm of 1 / sigma in 1/m at the pair, about 0..1."""
    distance = windows.view.origin_cam.norm(dim=-1)
    per_metre = (windows.focal / distance).reshape(-1, 1, 1, 1)
    return torch.log1p(windows.inverse_sigmas * per_metre) / 5


def _spread(windows: PairWindows) -> tuple[Tensor, Tensor]:
    spread = windows.spread
    return torch.cat([spread.rotations, spread.pelvis], dim=-1).clamp(min=1e-3).log(), ~windows.hidden


def _touching(said: Tensor) -> tuple[Tensor, Tensor]:
    """Own parts against the partner's [B, T, 2, 17 * 17]; frames of which nothing is said are not known."""
    values = torch.stack([said, said.transpose(-1, -2)], dim=2).flatten(-2).float()
    return values, (values > 0).any(-1)


def _residual(windows: PairWindows, keypoints_view: Tensor) -> Tensor:
    """[B, T, 2, 23 * 3] how far, in metres at the pair, each keypoint should move in the picture; and its weight."""
    away = windows.points - project_view(windows, keypoints_view)
    metres = away / windows.focal.reshape(-1, 1, 1, 1, 1) * windows.view.origin_cam[:, 2].reshape(-1, 1, 1, 1, 1)
    seen = (windows.inverse_sigmas > 0)[..., None].float()
    moves = torch.tanh(metres / _RESIDUAL_SCALE / 3) * 3
    return (torch.cat([moves, _sharpness(windows)[..., None]], dim=-1) * seen).flatten(-2)


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


def clip_of(evidence: KeypointTracks, pair: Sequence[int], state: PairState, spread: PairSpread) -> PairClip:
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
class WindowLayout:
    """Where the windows of a stretch lie, and how they fade into each other."""

    index: Tensor  # [B, WINDOW] frame of each window's frames; the last is repeated in a stretch shorter than a window
    weight: Tensor  # [B, WINDOW] adds up to 1 in every frame


def window_layout(length: int, device: torch.device | str) -> WindowLayout:
    """Windows of WINDOW frames, one every STEP; the last one ends with the stretch."""
    starts = sorted({*range(0, max(length - WINDOW, 0) + 1, STEP), max(length - WINDOW, 0)})
    frames = torch.arange(WINDOW, device=device)
    index = (torch.tensor(starts, device=device)[:, None] + frames).clamp(max=length - 1)
    ramp = (torch.minimum(frames, frames.flip(0)) + 1.0).expand_as(index)
    total = torch.zeros(length, device=device).index_add(0, index.flatten(), ramp.flatten())
    return WindowLayout(index, ramp / total[index])


def windows_of(clip: PairClip, where: WindowLayout) -> PairWindows:
    """The windows, each in the view of its own pair."""
    state = clip.state.map(lambda tensor: tensor[0][where.index])
    spread = PairSpread(**{f.name: getattr(clip.spread, f.name)[0][where.index] for f in fields(PairSpread)})
    view = pair_view(state.pelvis)
    count, times = len(where.index), clip.times[where.index]
    return PairWindows(
        mean=state_to_view(state, view),
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


def state_to_view(state: PairState, view: PairView) -> PairState:
    """A state in the camera frame [B, T, 2, ...] in the views."""
    rotations = torch.cat([turn(view, state.rotations[:, :, :, 0])[:, :, :, None], state.rotations[:, :, :, 1:]], dim=3)
    return PairState(rotations, state.betas, view.points_to_view(state.pelvis))


def state_to_camera(state: PairState, view: PairView) -> PairState:
    """The inverse of `seen_from`."""
    root = turn_back(view, state.rotations[:, :, :, 0])[:, :, :, None]
    return PairState(
        torch.cat([root, state.rotations[:, :, :, 1:]], dim=3), state.betas, view.points_to_cam(state.pelvis)
    )


def merge_windows(windows: PairState, view: PairView, where: WindowLayout, length: int) -> PairState:
    """One stretch [1, T, 2, ...] in the camera frame out of windows that fade into each other."""
    cam = state_to_camera(windows, view)
    blended = {
        "rotations": _blend(matrix_to_6d(cam.rotations), where, length),
        "betas": _blend(cam.betas, where, length),
        "pelvis": _blend(cam.pelvis, where, length),
    }
    return PairState(rotation_6d_to_matrix(blended["rotations"]), blended["betas"], blended["pelvis"])


def synchronize_windows(state: PairState, view: PairView, where: WindowLayout, length: int) -> PairState:
    """The windows after those that share frames were made one; what each step of the sampling ends with."""
    together = merge_windows(state, view, where, length)
    return state_to_view(together.map(lambda tensor: tensor[0][where.index]), view)


def _blend(values: Tensor, where: WindowLayout, length: int) -> Tensor:
    """[1, T, ...] of values [B, WINDOW, ...]."""
    weighted = values * where.weight.reshape(*where.weight.shape, *([1] * (values.ndim - 2)))
    total = values.new_zeros(length, *values.shape[2:])
    return total.index_add(0, where.index.flatten(), weighted.flatten(0, 1))[None]
