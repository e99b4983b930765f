"""The body as capsules along its limbs, held by its keypoints: for what must be fast, batched and differentiable."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_NAMES
from closemesh.body.skinning import wholebody_keypoints

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.
_BEADS = 4  # Spheres along each capsule that stand for it when two bodies are compared.
_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "lower_leg", "foot")
CAPSULE_PARTS = (
    "head",
    "upper_trunk",
    "lower_trunk",
    *(f"{side}_{limb}" for side in ("left", "right") for limb in _LIMBS),
)
"""What the capsules tell apart: no front and back, and the trunk halfway between shoulders and hips."""

_Mix = dict[str, float]
"""A point as a weighted sum of keypoints; weights add up to 1."""


@dataclass(frozen=True)
class CapsuleBody:
    """C capsules, their axes held by the 23 body and foot keypoints."""

    axes: Tensor  # [C, 2, 23] shares of the keypoints in both ends of each axis
    radii: Tensor  # [C] metres
    parts: Tensor  # [C, 2] index into COARSE_PARTS of the first and the last half of each
    depths: Tensor  # [23] metres of each keypoint under the surface of the capsules

    def to(self, device: torch.device | str) -> CapsuleBody:
        """The same elsewhere."""
        return CapsuleBody(*(getattr(self, f.name).to(device) for f in fields(self)))


def capsule_body(body: BodyModel) -> CapsuleBody:
    """Capsules as thick as the mean body: the median distance of the vertices that are nearest to each axis."""
    named = _axes()
    axes = torch.stack([torch.stack([_shares(end) for end in ends]) for *_, ends in named])
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
    """[N, C] from points [N, 3] to segments [C, 2, 3]."""
    start, along = axes[:, 0], axes[:, 1] - axes[:, 0]
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)
    return (points[:, None] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def capsule_distance(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Metres [...] between the two bodies with keypoints [..., 23, 3], negative when their capsules cross.

    Each capsule is a string of spheres as thick as itself; good to about a centimetre.
    """
    return _bead_gaps(keypoints_a, keypoints_b, body).amin((-1, -2))


def part_distances(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Metres [..., 17, 17] between each of COARSE_PARTS of a and each of b, as `capsule_gap`."""
    gaps, part = _bead_gaps(keypoints_a, keypoints_b, body), body.parts.repeat_interleave(_BEADS // 2, dim=1).flatten()
    for axis in (-1, -2):
        gaps = torch.stack([gaps.index_select(axis, p).amin(axis) for p in _members(part)], dim=axis)
    return gaps


def _members(part: Tensor) -> list[Tensor]:
    return [(part == index).nonzero()[:, 0] for index in range(len(CAPSULE_PARTS))]


def _bead_gaps(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """[..., C * beads, C * beads]."""
    share = torch.linspace(0, 1, _BEADS, dtype=keypoints_a.dtype, device=keypoints_a.device)
    beads = torch.stack([1 - share, share], dim=-1) @ body.axes.to(share)  # [C, beads, 23]
    a, b = ((beads.flatten(0, 1) @ keypoints) for keypoints in (keypoints_a, keypoints_b))
    radii = body.radii.repeat_interleave(_BEADS)
    return torch.cdist(a, b) - radii[:, None] - radii


def _axes() -> list[tuple[str, str, tuple[_Mix, _Mix]]]:
    """The parts in the first and the last half of every axis, and both its ends."""
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
        # The hand goes on where the forearm points to, about half as long.
        fingertips = {f"{side}_wrist": 1.5, f"{side}_elbow": -0.5}
        axes.append((f"{side}_hand", f"{side}_hand", ({f"{side}_wrist": 1.0}, fingertips)))
    return axes


def _middle(name: str) -> _Mix:
    return {f"left_{name}": 0.5, f"right_{name}": 0.5}


def _scaled(mix: _Mix, factor: float) -> _Mix:
    return {name: factor * share for name, share in mix.items()}


def _shares(mix: _Mix) -> Tensor:
    """[23]."""
    shares = torch.zeros(len(KEYPOINT_NAMES[:NUM_POINTS]))
    for name, share in mix.items():
        shares[KEYPOINT_INDEX[name]] += share
    return shares
