"""What is known of some windows of a pair, and what the denoiser is told about them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, capsule_gap
from closemesh.body.points import PointBody, PosedPoints, pose_points
from closemesh.energy.limbs import SEGMENTS
from closemesh.geometry.camera import project
from closemesh.proxemics.state import PairSpread, PairState, PairView, pack, pack_spread

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

    points: PointBody  # Coarse.
    capsules: CapsuleBody

    def to(self, device: torch.device | str) -> PairBody:
        return PairBody(self.points.to(device), self.capsules.to(device))


def pose_pair(body: PairBody, state: PairState) -> PosedPoints:
    """Joints [T, B * 2, 22, 3] and keypoints [T, B * 2, 23, 3] of every window, in its view."""
    rotations = state.rotations.transpose(0, 1).flatten(1, 2)  # [T, B * 2, 22, 3, 3]
    betas = state.betas.mean(1).flatten(0, 1)  # [B * 2, 10]
    pelvis = state.pelvis.transpose(0, 1).flatten(1, 2)
    transl = pelvis - body.points.rest_joints(betas)[:, 0]
    return pose_points(body.points, betas, rotations, transl)


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
    gap = capsule_gap(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules)  # [B, T]
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
