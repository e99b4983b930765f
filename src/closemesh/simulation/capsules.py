"""Which keypoints the camera cannot see: fast and batched, with bodies made of capsules on their keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_NAMES
from closemesh.body.skinning import keypoints133
from closemesh.geometry.camera import project
from closemesh.scene import NUM_CUE_POINTS
from closemesh.simulation.visibility import OWN_DEPTH, OWN_MARGIN

_Mix = dict[str, float]
"""A point as a weighted sum of keypoints; weights add up to 1."""


@dataclass(frozen=True)
class CapsuleBody:
    """C capsules, their axes held by the 23 body and foot keypoints."""

    axes: Tensor  # [C, 2, 23] shares of the keypoints in both ends of each axis
    radii: Tensor  # [C] metres
    own_depths: Tensor  # [23] metres that a keypoint may lie behind its own surface and still be seen

    def to(self, device: torch.device | str) -> CapsuleBody:
        """The same elsewhere."""
        return CapsuleBody(self.axes.to(device), self.radii.to(device), self.own_depths.to(device))


def capsule_body(body: BodyModel) -> CapsuleBody:
    """Capsules as thick as the mean body: the median distance of the vertices that are nearest to each axis."""
    axes = torch.stack([torch.stack([_shares(end) for end in axis]) for axis in _axes()])
    with torch.inference_mode():
        vertices = body.v_template.cpu()
        keypoints = keypoints133(body, body.v_template, body.joint_template)[:NUM_CUE_POINTS].cpu()
        distance = _distances(vertices, axes @ keypoints)  # [V, C]
        nearest = distance.argmin(1)
        radii = torch.stack([distance[nearest == c, c].median() for c in range(len(axes))])
        depth = (radii - _distances(keypoints, axes @ keypoints)).amax(1).clamp(min=0)  # [23]
    return CapsuleBody(axes.clone(), radii.clone(), OWN_DEPTH * depth + OWN_MARGIN)


def _distances(points: Tensor, axes: Tensor) -> Tensor:
    """[N, C] from points [N, 3] to segments [C, 2, 3]."""
    start, along = axes[:, 0], axes[:, 1] - axes[:, 0]
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)
    return (points[:, None] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def hidden_by_capsules(
    keypoints_cam: Tensor, body: CapsuleBody, focal: Tensor, centre: Tensor, size: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Bools [..., T, P, 23] for keypoints [..., T, P, 23, 3] in the camera frame, metres; means what `hidden_points` does.

    focal [...], centre and size [..., 2] in pixels broadcast over frames and people; valid [..., T, P].
    """
    scalar = (..., None, None, None)
    pixels = project(keypoints_cam, focal[(*scalar, None)], centre[..., None, None, None, :])
    outside = ((pixels < 0) | (pixels >= size[..., None, None, None, :])).any(-1)
    present = torch.ones_like(outside[..., 0]) if valid is None else valid
    entry = _entry_distances(keypoints_cam, body)  # [..., T, P, K, P]
    entry = entry.masked_fill(~present[..., None, None, :], torch.inf)
    people = entry.shape[-1]
    same = torch.eye(people, dtype=torch.bool, device=entry.device)[:, None, :]  # [P, 1, P]
    own = entry.masked_fill(~same, torch.inf).amin(-1)  # [..., T, P, K]
    others = entry.masked_fill(same, torch.inf).amin(-1)
    distance = keypoints_cam.norm(dim=-1)
    behind = (others < torch.minimum(own, distance)) | (own < distance - body.own_depths)
    return behind | outside | ~present[..., None]


def _entry_distances(keypoints_cam: Tensor, body: CapsuleBody) -> Tensor:
    """[..., T, P, K, P] metres from the camera to where the ray to each keypoint enters each person; infinity if never."""
    rays = torch.nn.functional.normalize(keypoints_cam, dim=-1)[..., None, None, :]  # [..., T, P, K, 1, 1, 3]
    ends = torch.einsum("cek,...kd->...ced", body.axes, keypoints_cam)  # [..., T, P, C, 2, 3]
    start, along = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]
    start, along = start[..., None, None, :, :, :], along[..., None, None, :, :, :]  # [..., T, 1, 1, P, C, 3]
    # The point of the axis nearest to the ray: least squares of |start + s along| without its part along the ray.
    across_start = start - (start * rays).sum(-1, keepdim=True) * rays
    across_along = along - (along * rays).sum(-1, keepdim=True) * rays
    share = -(across_start * across_along).sum(-1) / across_along.square().sum(-1).clamp(min=1e-9)
    share = share.clamp(0, 1)[..., None]
    gap_squared = (across_start + share * across_along).square().sum(-1)  # [..., T, P, K, P, C]
    reached = ((start + share * along) * rays).sum(-1)
    depth_squared = body.radii**2 - gap_squared
    entry = reached - depth_squared.clamp(min=0).sqrt()
    return entry.masked_fill((depth_squared <= 0) | (entry <= 0), torch.inf).amin(-1)


def _axes() -> list[tuple[_Mix, _Mix]]:
    """Both ends of every axis."""
    ears, shoulders, hips = (_middle(name) for name in ("ear", "shoulder", "hip"))
    axes = [({"left_ear": 0.75, "right_ear": 0.25}, {"left_ear": 0.25, "right_ear": 0.75}), (ears, shoulders)]
    axes += [({"nose": 0.5, **_scaled(ears, 0.5)}, ears), (shoulders, hips)]
    for side, other in (("left", "right"), ("right", "left")):
        inner_shoulder = {f"{side}_shoulder": 0.75, f"{other}_shoulder": 0.25}
        axes += [(inner_shoulder, {f"{side}_hip": 1.0}), (shoulders, {f"{side}_shoulder": 1.0})]
        limbs = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("heel", "big_toe"))
        axes += [({f"{side}_{a}": 1.0}, {f"{side}_{b}": 1.0}) for a, b in limbs]
        # The hand goes on where the forearm points to, about half as long.
        axes.append(({f"{side}_wrist": 1.0}, {f"{side}_wrist": 1.5, f"{side}_elbow": -0.5}))
    return axes


def _middle(name: str) -> _Mix:
    return {f"left_{name}": 0.5, f"right_{name}": 0.5}


def _scaled(mix: _Mix, factor: float) -> _Mix:
    return {name: factor * share for name, share in mix.items()}


def _shares(mix: _Mix) -> Tensor:
    """[23]."""
    shares = torch.zeros(len(KEYPOINT_NAMES[:NUM_CUE_POINTS]))
    for name, share in mix.items():
        shares[KEYPOINT_INDEX[name]] += share
    return shares
