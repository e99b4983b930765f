"""The exact measure of a pair: do they touch where they should, how deep, within joint limits, on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.contact.box_tree import build_box_tree
from closemesh.contact.closest import smallest_distance
from closemesh.contact.crossings import find_crossings
from closemesh.energy.limits import beyond_limits
from closemesh.energy.penetration import penetration_depth
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.interactions.recipe import Recipe
from closemesh.interactions.regions import faces_within, find_regions

CONTACT, DEPTH, LIMIT, FLOOR = 0.01, 0.01, 0.07, 0.02
"""The most that an accepted pair may have: metres, metres, radians, metres."""
_CHUNK = 32  # Frames skinned at once.


@dataclass(frozen=True)
class PairErrors:
    """Of N frames of two people."""

    contact: Tensor  # [N, K] metres between the two regions of each touch
    firm: Tensor  # [K] bool: the touch has to be met
    depth: Tensor  # [N] metres of the deepest vertex of either inside the other
    limit: Tensor  # [N] radians beyond a joint's range, the worst of both
    sinking: Tensor  # [N] metres of the lowest vertex of both below the floor
    floating: (
        Tensor  # [N] metres from the floor to the lowest vertex, of the person farther from it; b only if not carried
    )

    @property
    def accepted(self) -> Tensor:
        """[N] bool: every error is small enough."""
        floor = torch.maximum(self.sinking, self.floating)
        within = (self.depth <= DEPTH) & (self.limit <= LIMIT) & (floor <= FLOOR)
        return within & ((self.contact <= CONTACT) | ~self.firm).all(-1)


def check_pairs(recipe: Recipe, fine: BodyModel, betas: Tensor, rotations: Tensor, pelvis: Tensor) -> PairErrors:
    """Measures pairs, or the frames of one pair, on the fine query body.

    betas [N, 2, B] (or [2, B] for all), rotations [N, 2, 55, 3, 3], pelvis [N, 2, 3] position of the pelvis joint;
    world frame, y up, floor y = 0, metres.
    """
    transl = pelvis - rest_joints(fine, betas)[..., 0, :]
    betas = betas.expand(len(rotations), 2, -1)
    regions = find_regions(fine)
    touches = [_TouchMeter(fine, regions[touch.a], regions[touch.b]) for touch in recipe.touches]
    contact, depth, lowest = [], [], []
    for index in torch.arange(len(rotations)).split(_CHUNK):
        vertices = skin(fine, betas[index], rotations[index], transl[index])[0].detach()  # [n, 2, V, 3]
        depth.append(deepest_depth(vertices, fine.faces))
        lowest.append(vertices[..., 1].amin(-1))
        contact += [[touch.distance(*pair) for touch in touches] for pair in vertices.cpu().double().numpy()]
    low = torch.cat(lowest)  # [N, 2]
    borne = low[:, :1] if recipe.carried else low
    limits = beyond_limits(matrix_to_axis_angle(rotations[:, :, 1:22]))
    return PairErrors(
        contact=torch.tensor(contact).to(pelvis).reshape(len(rotations), len(touches)),
        firm=torch.tensor([touch.firm for touch in recipe.touches], device=pelvis.device),
        depth=torch.cat(depth),
        limit=limits.amax((-1, -2, -3)),
        sinking=(-low.amin(-1)).clamp(min=0),
        floating=borne.amax(-1).clamp(min=0),
    )


def deepest_depth(vertices: Tensor, faces: Tensor) -> Tensor:
    """[N] metres of the deepest vertex of either of two meshes [N, 2, V, 3] inside the other."""
    a, b = vertices[:, 0], vertices[:, 1]
    found = find_crossings(a, b, faces)
    depth = penetration_depth(a, b, faces, found)
    return a.new_zeros(len(a)).scatter_reduce(0, found.frame, depth, "amax")


class _TouchMeter:
    """Distance of two regions."""

    def __init__(self, body: BodyModel, region_a: Tensor, region_b: Tensor) -> None:
        self._sides = [(region.cpu().numpy(), faces_within(body, region)) for region in (region_a, region_b)]

    def distance(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        """Metres between the regions on vertices a and b [V, 3], from vertices of either to faces of the other."""
        (ids_a, faces_a), (ids_b, faces_b) = self._sides
        return min(_distance(a[ids_a], b, faces_b), _distance(b[ids_b], a, faces_a))


def _distance(points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    tree = build_box_tree(vertices, faces)
    return float(smallest_distance(points, tree.boxes, tree.starts, tree.corners, np.inf))
