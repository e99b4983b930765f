"""Windows of a pair of people, the network conditions of a window, and the merge of windows without seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, capsule_distance
from closemesh.body.landmarks import LandmarkBody, PosedLandmarks, pose_landmarks
from closemesh.body.motion import transl_of
from closemesh.body.skinning import forward_kinematics
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.interaction_prior.state import (
    PairState,
    PairUncertainty,
    PairView,
    pack,
    pack_std,
    pair_view,
    state_to_camera,
    state_to_view,
)
from closemesh.losses.keypoints import SEGMENTS

WINDOW = 16  # Frames, unless a network was trained on longer windows.
NUM_LIMBS = len(SEGMENTS)
_DISTANCE_SCALE, _DISTANCE_LIMIT = 0.05, 0.2  # Meters.
_RESIDUAL_SCALE = 0.1  # Meters.

Conditions = dict[str, tuple[Tensor, Tensor]]
"""Name of a condition: its values [B, T, 2, W], and where they are known [B, T, 2] bool."""


@dataclass(frozen=True)
class PairClip(TensorDataclass):
    """T frames of two people, camera frame."""

    state: PairState  # [1, T, 2, ...] root as R_cam_root, pelvis in cam
    std: PairUncertainty  # [1, T, 2, ...]
    tracks: KeypointTracks  # [T, 2, 23, ...]; points and limbs of undetected people have weight 0
    masked: Tensor  # [T, 2] bool: nothing is known of these frames of this person

    def __len__(self) -> int:
        return len(self.masked)


@dataclass(frozen=True)
class PairWindows:
    """B windows of T frames: the initial motion, its uncertainty, and the keypoints."""

    mean: PairState  # In the view.
    std: PairUncertainty
    view: PairView
    tracks: KeypointTracks  # [B, T, 2, 23, ...]
    masked: Tensor  # [B, T, 2] bool: nothing is known of these frames of this person
    unpaired: Tensor  # [B] bool: there is no second person
    contacts: Tensor | None = None  # [B, T, 17, 17] bool: CAPSULE_PARTS of a and of b that are stated to touch

    def __len__(self) -> int:
        return len(self.masked)

    def swapped(self) -> PairWindows:
        """The same with the two people exchanged."""
        return replace(
            self,
            mean=self.mean.swapped(),
            std=self.std.swapped(),
            tracks=self.tracks.map_people(lambda tensor: tensor.flip(2)),
            masked=self.masked.flip(2),
            contacts=None if self.contacts is None else self.contacts.transpose(-1, -2),
        )


def pair_clip(
    tracks: KeypointTracks,
    pair: Sequence[int],
    state: PairState,
    std: PairUncertainty,
    hidden: Tensor | None = None,
) -> PairClip:
    """Two of the people of a clip, with their motion over its frames; hidden [T, P] bool of all people are masked."""
    two = replace(tracks.body_keypoints(), points3d=None, reference=None).people(list(pair))
    masked = torch.zeros_like(two.detected) if hidden is None else hidden[:, list(pair)]
    return PairClip(state=state, std=std, tracks=mask_tracks(two, two.detected & ~masked), masked=masked)


def mask_tracks(tracks: KeypointTracks, known: Tensor) -> KeypointTracks:
    """The tracks with weight 0 for keypoints and limbs where `known` [*B, T, P] bool is false."""
    return replace(
        tracks,
        inv_sigma=tracks.inv_sigma * known[..., None],
        limb_directions=tracks.limb_directions * known[..., None, None],
        limb_weights=tracks.limb_weights * known[..., None],
    )


@dataclass(frozen=True)
class PairBody(TensorDataclass):
    """The body as conditions and guidance need it: keypoints, and capsules around them."""

    TIME_AXIS: ClassVar[int | None] = None

    points: LandmarkBody  # Coarse.
    capsules: CapsuleBody
    surface: LandmarkBody | None = None  # Points all over the skin, for the loss of the training.


def pose_pair(body: PairBody, state: PairState) -> PosedLandmarks:
    """Joints [T, B * 2, 22, 3] and keypoints [T, B * 2, 23, 3] of every window, in its view."""
    rotations = state.rotations.transpose(0, 1).flatten(1, 2)  # [T, B * 2, 22, 3, 3]
    betas = state.betas.mean(1).flatten(0, 1)  # [B * 2, 10]
    pelvis = state.pelvis.transpose(0, 1).flatten(1, 2)
    transl = transl_of(body.points, betas, pelvis)
    return pose_landmarks(body.points, betas, rotations, transl)


def pose_surface(body: LandmarkBody, state: PairState) -> Tensor:
    """Points [B * 2, N, T, 3] of the skin of `make_surface_body` relative to the pelvis."""
    rotations = state.rotations.transpose(0, 1).flatten(1, 2)  # [T, B * 2, 22, 3, 3]
    betas = state.betas.mean(1).flatten(0, 1)  # [B * 2, 10]
    rest = body.rest_joints(betas)
    turns, joints = forward_kinematics(rotations, rest)
    offsets = joints - joints[..., :1, :] - (turns @ rest[..., None])[..., 0]  # [T, B * 2, 22, 3]
    moments = body.moments + torch.einsum("pk,njdk->pnjd", betas, body.moment_dirs)  # [B * 2, N, 22, 3]
    # One product for all frames of a person: many times faster than one for each frame.
    turned = turns.permute(1, 2, 4, 0, 3).flatten(1, 2).flatten(2)  # [B * 2, 22 * 3, T * 3]
    moved = offsets.permute(1, 2, 0, 3).flatten(2)  # [B * 2, 22, T * 3]
    return (moments.flatten(-2) @ turned + body.blend_weights @ moved).unflatten(-1, (-1, 3))


def unfold_windows(posed: Tensor) -> Tensor:
    """[B, T, 2, N, 3] of points `posed` [T, B * 2, N, 3]."""
    return posed.unflatten(1, (-1, 2)).transpose(0, 1)


def project_view(windows: PairWindows, points_view: Tensor) -> Tensor:
    """Pixels [B, T, 2, N, 2] of points_view [B, T, 2, N, 3] in the views."""
    return project(
        windows.view.points_to_cam(points_view),
        windows.tracks.focal.reshape(-1, 1, 1, 1, 1),
        windows.tracks.principal_point[:, None, None, None],
    )


def constant_conditions(windows: PairWindows) -> Conditions:
    """The conditions that do not change during sampling: keypoints, limbs, uncertainty, stated contacts."""
    known = ~windows.masked
    conditions = {
        "keypoints": (_keypoints(windows), known),
        "limbs": (_limbs(windows), known),
        "std": (_log_std(windows.std), known),
    }
    return conditions if windows.contacts is None else conditions | {"touching": _contacts(windows.contacts)}


def estimate_conditions(windows: PairWindows, estimate: PairState, body: PairBody) -> Conditions:
    """The conditions that follow from an estimate: its deviation, body distance and reprojection residuals."""
    keypoints = unfold_windows(pose_pair(body, estimate).keypoints)
    distance = capsule_distance(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules)  # [B, T]
    distance = distance.clamp(-_DISTANCE_LIMIT, _DISTANCE_LIMIT) / _DISTANCE_SCALE
    paired = ~windows.unpaired[:, None, None].expand_as(windows.masked)
    deviation = (pack(estimate) - pack(windows.mean)) / pack_std(windows.std)
    return {
        "estimate": (deviation, torch.ones_like(windows.masked)),
        "penetration": (distance[:, :, None, None].expand(-1, -1, 2, 1), paired),
        "projection": (_residual(windows, keypoints), ~windows.masked),
    }


def _keypoints(windows: PairWindows) -> Tensor:
    """[B, T, 2, 23 * 4] meters in the view where rays meet the plane of the pair, their sharpness, and 1."""
    tracks = windows.tracks
    rays = (tracks.points2d - tracks.principal_point[:, None, None, None]) / tracks.focal.reshape(-1, 1, 1, 1, 1)
    rays = torch.einsum("bij,btpkj->btpki", windows.view.R_view_cam, F.pad(rays, (0, 1), value=1.0))
    distance = windows.view.origin_cam.norm(dim=-1).reshape(-1, 1, 1, 1, 1)
    places = (rays[..., :2] / rays[..., 2:].clamp(min=0.1) * distance).clamp(-5, 5)
    detected = (tracks.inv_sigma > 0)[..., None].float()
    values = torch.cat([places, keypoint_sharpness(windows)[..., None], torch.ones_like(detected)], dim=-1) * detected
    return values.flatten(-2)


def _limbs(windows: PairWindows) -> Tensor:
    """[B, T, 2, 14 * 4] limb directions in the view times their weight, and the weight."""
    limbs = torch.cat([windows.tracks.limb_directions, windows.tracks.limb_weights[..., None]], dim=-1)
    directions = torch.einsum("bij,btplj->btpli", windows.view.R_view_cam, limbs[..., :3])
    weights = limbs[..., 3:]
    return torch.cat([directions * weights, weights], dim=-1).flatten(-2)


def keypoint_sharpness(windows: PairWindows) -> Tensor:
    """[B, T, 2, 23] logarithm of 1 / sigma in 1/m at the pair, about 0..1."""
    distance = windows.view.origin_cam.norm(dim=-1)
    per_meter = (windows.tracks.focal / distance).reshape(-1, 1, 1, 1)
    return torch.log1p(windows.tracks.inv_sigma * per_meter) / 5


def _log_std(std: PairUncertainty) -> Tensor:
    """[B, T, 2, 25] of rotations and pelvis."""
    return torch.cat([std.rotation_std, std.pelvis_std], dim=-1).clamp(min=1e-3).log()


def _contacts(contacts: Tensor) -> tuple[Tensor, Tensor]:
    """Own parts against the partner's [B, T, 2, 17 * 17]; frames without a stated contact are not known."""
    values = torch.stack([contacts, contacts.transpose(-1, -2)], dim=2).flatten(-2).float()
    return values, (values > 0).any(-1)


def _residual(windows: PairWindows, keypoints_view: Tensor) -> Tensor:
    """[B, T, 2, 23 * 3] meters at the pair from each projected keypoint to the detected one, and its sharpness."""
    meters = image_distance(windows, windows.tracks.points2d - project_view(windows, keypoints_view))
    detected = (windows.tracks.inv_sigma > 0)[..., None].float()
    moves = torch.tanh(meters / _RESIDUAL_SCALE / 3) * 3
    return (torch.cat([moves, keypoint_sharpness(windows)[..., None]], dim=-1) * detected).flatten(-2)


def image_distance(windows: PairWindows, pixels: Tensor) -> Tensor:
    """Meters [B, T, 2, N, 2] at the depth of the pair of differences pixels [B, T, 2, N, 2] in the image."""
    depth = windows.view.origin_cam[:, 2].reshape(-1, 1, 1, 1, 1)
    return pixels / windows.tracks.focal.reshape(-1, 1, 1, 1, 1) * depth


@dataclass(frozen=True)
class WindowLayout:
    """The frames of the windows of an interval, and their crossfade weights."""

    index: Tensor  # [B, size] frame of each window's frames; a shorter interval repeats its last frame
    weight: Tensor  # [B, size] adds up to 1 in every frame


def window_layout(length: int, device: torch.device | str, size: int = WINDOW) -> WindowLayout:
    """Windows of `size` frames, each half a window after the last; the final one ends with the interval."""
    starts = sorted({*range(0, max(length - size, 0) + 1, size // 2), max(length - size, 0)})
    frames = torch.arange(size, device=device)
    index = (torch.tensor(starts, device=device)[:, None] + frames).clamp(max=length - 1)
    ramp = (torch.minimum(frames, frames.flip(0)) + 1.0).expand_as(index)
    total = torch.zeros(length, device=device).index_add(0, index.flatten(), ramp.flatten())
    return WindowLayout(index, ramp / total[index])


def cut_windows(clip: PairClip, layout: WindowLayout) -> PairWindows:
    """The windows of the clip, each in the view of its own pair."""

    def cut(tensor: Tensor) -> Tensor:
        return tensor[0][layout.index]

    state = clip.state.map(cut)
    view, count = pair_view(state.pelvis), len(layout.index)
    return PairWindows(
        mean=state_to_view(state, view),
        std=clip.std.map(cut),
        view=view,
        tracks=clip.tracks.windows(layout.index),
        masked=clip.masked[layout.index],
        unpaired=torch.zeros(count, dtype=torch.bool, device=clip.masked.device),
    )


def merge_windows(windows: PairState, view: PairView, layout: WindowLayout, length: int) -> PairState:
    """One interval [1, T, 2, ...] in the camera frame from windows in their views, crossfaded."""
    cam = state_to_camera(windows, view)
    rotations = _blend(matrix_to_6d(cam.rotations), layout, length)
    betas, pelvis = _blend(cam.betas, layout, length), _blend(cam.pelvis, layout, length)
    return PairState(rotation_6d_to_matrix(rotations), betas, pelvis)


def synchronize_windows(state: PairState, view: PairView, layout: WindowLayout, length: int) -> PairState:
    """The windows after a merge, so that windows with common frames agree; each sampling step ends with it."""
    merged = merge_windows(state, view, layout, length)
    return state_to_view(merged.map(lambda tensor: tensor[0][layout.index]), view)


def _blend(values: Tensor, layout: WindowLayout, length: int) -> Tensor:
    """[1, T, ...] of values [B, size, ...]."""
    weighted = values * layout.weight.reshape(*layout.weight.shape, *([1] * (values.ndim - 2)))
    total = values.new_zeros(length, *values.shape[2:])
    return total.index_add(0, layout.index.flatten(), weighted.flatten(0, 1))[None]
