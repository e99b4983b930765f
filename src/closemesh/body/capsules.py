"""The body as capsules along its limbs, held by its keypoints: for what must be fast, batched and differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import KEYPOINT_INDEX, KEYPOINT_NAMES
from closemesh.body.skinning import keypoints133

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.
_BEADS = 4  # Spheres along each capsule that stand for it when two bodies are compared.

_Mix = dict[str, float]
"""A point as a weighted sum of keypoints; weights add up to 1."""


@dataclass(frozen=True)
class CapsuleBody:
    """C capsules, their axes held by the 23 body and foot keypoints."""

    axes: Tensor  # [C, 2, 23] shares of the keypoints in both ends of each axis
    radii: Tensor  # [C] metres
    depths: Tensor  # [23] metres of each keypoint under the surface of the capsules

    def to(self, device: torch.device | str) -> CapsuleBody:
        """The same elsewhere."""
        return CapsuleBody(self.axes.to(device), self.radii.to(device), self.depths.to(device))


def capsule_body(body: BodyModel) -> CapsuleBody:
    """Capsules as thick as the mean body: the median distance of the vertices that are nearest to each axis."""
    axes = torch.stack([torch.stack([_shares(end) for end in axis]) for axis in _axes()])
    with torch.inference_mode():
        vertices = body.v_template.cpu()
        keypoints = keypoints133(body, body.v_template, body.joint_template)[:NUM_POINTS].cpu()
        distance = _distances(vertices, axes @ keypoints)  # [V, C]
        nearest = distance.argmin(1)
        radii = torch.stack([distance[nearest == c, c].median() for c in range(len(axes))])
        depth = (radii - _distances(keypoints, axes @ keypoints)).amax(1).clamp(min=0)  # [23]
    return CapsuleBody(axes.clone(), radii.clone(), depth.clone())


def _distances(points: Tensor, axes: Tensor) -> Tensor:
    """[N, C] from points [N, 3] to segments [C, 2, 3]."""
    start, along = axes[:, 0], axes[:, 1] - axes[:, 0]
    share = ((points[:, None] - start) * along).sum(-1) / along.square().sum(-1)
    return (points[:, None] - start - share.clamp(0, 1)[..., None] * along).norm(dim=-1)


def capsule_gap(keypoints_a: Tensor, keypoints_b: Tensor, body: CapsuleBody) -> Tensor:
    """Metres [...] between the two bodies with keypoints [..., 23, 3], negative when their capsules cross.

    Each capsule is a string of spheres as thick as itself; good to about a centimetre.
    """
    share = torch.linspace(0, 1, _BEADS, dtype=keypoints_a.dtype, device=keypoints_a.device)
    beads = torch.stack([1 - share, share], dim=-1) @ body.axes.to(share)  # [C, beads, 23]
    a, b = ((beads.flatten(0, 1) @ keypoints) for keypoints in (keypoints_a, keypoints_b))
    radii = body.radii.repeat_interleave(_BEADS)
    return (torch.cdist(a, b) - radii[:, None] - radii).amin((-1, -2))


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
    shares = torch.zeros(len(KEYPOINT_NAMES[:NUM_POINTS]))
    for name, share in mix.items():
        shares[KEYPOINT_INDEX[name]] += share
    return shares
