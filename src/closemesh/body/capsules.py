"""The body as capsules along its limbs, positioned by keypoints: fast, batched, differentiable distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_NAMES
from closemesh.body.skinning import wholebody_keypoints
from closemesh.core.tensor_dataclass import TensorDataclass

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.
_SPHERES = 4  # Along each capsule, which represent it in distances.
_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "lower_leg", "foot")
CAPSULE_PARTS = (
    "head",
    "upper_trunk",
    "lower_trunk",
    *(f"{side}_{limb}" for side in ("left", "right") for limb in _LIMBS),
)
"""Body parts of the capsules: without front and back, the trunk split halfway between shoulders and hips."""

_Mix = dict[str, float]
"""A point as a weighted sum of keypoints; weights add up to 1."""


@dataclass(frozen=True)
class CapsuleBody(TensorDataclass):
    """C capsules whose axes are linear functions of the 23 body and foot keypoints."""

    TIME_AXIS: ClassVar[int | None] = None

    axes: Tensor  # [C, 2, 23] weights of the keypoints in both ends of each axis
    radii: Tensor  # [C] meters
    parts: Tensor  # [C, 2] index into CAPSULE_PARTS of the first and the last half of each
    depths: Tensor  # [23] meters of each keypoint under the surface of the capsules


def capsule_body(body: BodyModel) -> CapsuleBody:
    """Capsules of the mean shape of `body`; a radius is the median distance of the vertices nearest to the axis."""
    named = _axes()
    axes = torch.stack([torch.stack([_keypoint_weights(end) for end in ends]) for *_, ends in named])
    parts = torch.tensor([[CAPSULE_PARTS.index(first), CAPSULE_PARTS.index(last)] for first, last, _ in named])
    with torch.inference_mode():
        vertices = body.v_template.cpu()
        keypoints = wholebody_keypoints(body, body.v_template, body.joint_template)[:NUM_POINTS].cpu()
        distance = _distances(vertices, axes @ keypoints)  # [V, C]
        nearest = distance.argmin(1)
        radii = torch.stack([distance[nearest == c, c].median() for c in range(len(axes))])
        depth = (radii - _distances(keypoints, axes @ keypoints)).amax(1).clamp(min=0)  # [23]
    return CapsuleBody(axes.clone(), radii.clone(), parts, depth.clone())


def _distances(points: Tensor, axes: Tensor) -> Tensor:
    """Distances [N, C] from points [N, 3] to segments [C, 2, 3]."""
    start, along = axes[:, 0], axes[:, 1] - axes[:, 0]
    position = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)
    return (points[:, None] - start - position.clamp(0, 1)[..., None] * along).norm(dim=-1)


def capsule_distance(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Signed distance [...] in meters of bodies with keypoints_a [..., 23, 3] and keypoints_b [..., 23, 3].

    Negative where capsules intersect. Each capsule is a row of spheres of its radius; exact to about a centimeter.
    """
    return _sphere_distances(keypoints_a, keypoints_b, body).amin((-1, -2))


def part_distances(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Signed distances [..., 17, 17] in meters between CAPSULE_PARTS of a and of b, as `capsule_distance`.

    keypoints_a [..., 23, 3], keypoints_b [..., 23, 3].
    """
    distances = _sphere_distances(keypoints_a, keypoints_b, body)
    part = body.parts.repeat_interleave(_SPHERES // 2, dim=1).flatten()
    for axis in (-1, -2):
        distances = torch.stack([distances.index_select(axis, p).amin(axis) for p in _members(part)], dim=axis)
    return distances


def _members(part: Tensor) -> list[Tensor]:
    return [(part == index).nonzero()[:, 0] for index in range(len(CAPSULE_PARTS))]


def _sphere_distances(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Signed distances [..., C * spheres, C * spheres] in meters."""
    fraction = torch.linspace(0, 1, _SPHERES, dtype=keypoints_a.dtype, device=keypoints_a.device)
    centers = torch.stack([1 - fraction, fraction], dim=-1) @ body.axes.to(fraction)  # [C, spheres, 23]
    a, b = ((centers.flatten(0, 1) @ keypoints) for keypoints in (keypoints_a, keypoints_b))
    radii = body.radii.repeat_interleave(_SPHERES)
    return torch.cdist(a, b) - radii[:, None] - radii


def _axes() -> list[tuple[str, str, tuple[_Mix, _Mix]]]:
    """Of every axis: body part of the first and of the last half, and both ends."""
    ears, shoulders, hips = (_middle(name) for name in ("ear", "shoulder", "hip"))
    across = {"left_ear": 0.75, "right_ear": 0.25}, {"left_ear": 0.25, "right_ear": 0.75}
    axes = [("head", "head", ends) for ends in (across, (ears, shoulders), ({"nose": 0.5, **_scaled(ears, 0.5)}, ears))]
    axes.append(("upper_trunk", "lower_trunk", (shoulders, hips)))
    for side, other in (("left", "right"), ("right", "left")):
        inner_shoulder = {f"{side}_shoulder": 0.75, f"{other}_shoulder": 0.25}
        axes.append(("upper_trunk", "lower_trunk", (inner_shoulder, {f"{side}_hip": 1.0})))
        axes.append(("upper_trunk", f"{side}_shoulder", (shoulders, {f"{side}_shoulder": 1.0})))
        for limb, start, end in (
            *(("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist")),
            *(("thigh", "hip", "knee"), ("lower_leg", "knee", "ankle"), ("foot", "heel", "big_toe")),
        ):
            axes.append((f"{side}_{limb}", f"{side}_{limb}", ({f"{side}_{start}": 1.0}, {f"{side}_{end}": 1.0})))
        # The hand continues the forearm at half its length.
        fingertips = {f"{side}_wrist": 1.5, f"{side}_elbow": -0.5}
        axes.append((f"{side}_hand", f"{side}_hand", ({f"{side}_wrist": 1.0}, fingertips)))
    return axes


def _middle(name: str) -> _Mix:
    return {f"left_{name}": 0.5, f"right_{name}": 0.5}


def _scaled(mix: _Mix, factor: float) -> _Mix:
    return {name: factor * weight for name, weight in mix.items()}


def _keypoint_weights(mix: _Mix) -> Tensor:
    """Weights [23]."""
    weights = torch.zeros(len(KEYPOINT_NAMES[:NUM_POINTS]))
    for name, weight in mix.items():
        weights[KEYPOINT_INDEX[name]] += weight
    return weights
