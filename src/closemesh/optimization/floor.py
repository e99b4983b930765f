"""Floor plane, foot contact, ground loss.

The floor that feet stand on, and with it which way is up.

The floor and the feet on it, as a part of the objective.

When feet stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.optimizer import SIGMAS, Weights
from closemesh.losses.keypoints import geman_mcclure, pseudo_huber
from closemesh.losses.physics import foot_skating, ground_penetration, height_above
from closemesh.structures import Camera

HEIGHT_SIGMA = 0.10  # Metres; the depth of a person, and so the height of the feet, is this uncertain.
SIGHTINGS = 5.0  # Independent sightings of the floor that one person's feet are worth, however long they stand,
UNSETTLED_SIGHTINGS = 0.5  # and before sizes are settled, when a wrong size would only tilt the floor.
UPRIGHT_SIGMA = 0.10  # Radians between the mean body axis and the vertical.
FIRST_GUESS = 0.3  # Share of the standing feet that lie below the plane that the search for the floor begins with.
FLOOR_TOLERANCE = 0.06  # Metres; standing feet nearer than this to the plane support it.
FEWEST_STANDING = 5.0  # Foot sightings, weighted, that a floor must rest on.
FEWEST_SUPPORTING = 0.5  # Share of the standing feet that must support it.
_ITERATIONS = 20


def body_axis(joints: Tensor, seen: Tensor) -> Tensor:
    """The usual direction [3] from the ankles to the neck; joints [T, P, 55, 3], seen [T, P].

    A geometric median over people and frames, so that a few bends and lunges do not tilt it.
    """
    ankles = joints[..., [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]], :].mean(-2)
    axes = F.normalize(joints[..., JOINT_INDEX["neck"], :] - ankles, dim=-1)[seen > 0]  # [N, 3]
    axis = axes.mean(0)
    for _ in range(_ITERATIONS):
        weights = 1 / (axes - axis).norm(dim=-1, keepdim=True).clamp(min=0.05)
        axis = (weights * axes).sum(0) / weights.sum()
    return F.normalize(axis, dim=0)


def fit_floor(soles: Tensor, standing: Tensor, up: Tensor, sightings: float = SIGHTINGS) -> Tensor:
    """The plane [4], unit normal upwards and offset, that the standing feet rest on.

    soles [T, P, 2, N, 3] in the camera frame, standing [T, P, 2], up [3] the expected normal. Each foot counts by its
    lowest point along `up`; each person counts alike; feet off the plane (a jump's turning point, somebody who is
    carried) lose their say, those above it sooner: nobody stands below the floor.
    """
    lowest = soles.gather(-2, (soles @ up).argmin(-1)[..., None, None].expand(*soles.shape[:-2], 1, 3))[..., 0, :]
    weight = sightings * standing / standing.sum((0, 2), keepdim=True).clamp(min=1e-6)  # [T, P, 2]
    points, weight = lowest.reshape(-1, 3).double(), weight.reshape(-1).double()
    up = up.double()
    plane = torch.cat([up, -_weighted_quantile(points @ up, weight, FIRST_GUESS)[None]])
    for _ in range(_ITERATIONS):
        height = (points @ plane[:3] + plane[3]) / HEIGHT_SIGMA
        trusted = weight / (1 + height.clamp(min=0) ** 2) ** 2 / (1 + height.clamp(max=0) ** 2).sqrt()
        plane = _solve_plane(points, trusted, up)
    return plane.to(soles)


def floor_offsets(soles: Tensor, standing: Tensor, floor: Tensor) -> Tensor:
    """Median height [P] in metres of each person's standing feet above the plane; 0 for who never stands."""
    heights = height_above(soles, floor).amin(-1)  # [T, P, 2]
    offsets = []
    for person in range(heights.shape[1]):
        stands = standing[:, person] > 0.5
        offsets.append(heights[:, person][stands].median() if stands.any() else heights.new_zeros(()))
    return torch.stack(offsets)


def floor_support(soles: Tensor, standing: Tensor, floor: Tensor, tolerance: float = FLOOR_TOLERANCE) -> bool:
    """Whether somebody stands on it: enough standing feet of one person lie within `tolerance` metres of the plane."""
    heights = height_above(soles, floor).amin(-1)  # [T, P, 2]
    total = standing.sum((0, 2))  # [P]
    near = (standing * (heights.abs() < tolerance)).sum((0, 2))
    return bool(((total >= FEWEST_STANDING) & (near >= FEWEST_SUPPORTING * total)).any())


def place_on_floor(camera: Camera, floor: Tensor, points: Tensor, found: bool) -> Camera:
    """The camera with its world: y along the floor's normal, origin on the floor under points [N, 3] of cam.

    z points from there towards the camera, so that a picture's left stays left.
    """
    normal = floor[:3].double().cpu().numpy()
    middle = points.double().mean(0).cpu().numpy()
    origin = middle - (middle @ normal + float(floor[3])) * normal
    z = -origin - (-origin @ normal) * normal
    z /= np.linalg.norm(z)
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3] = np.stack([np.cross(normal, z), normal, z], axis=1)
    T_cam_world[:3, 3] = origin
    return replace(camera, T_cam_world=np.tile(T_cam_world, (len(camera.T_cam_world), 1, 1)), floor_found=found)


def _solve_plane(points: Tensor, weight: Tensor, up: Tensor) -> Tensor:
    """Least squares over n and d of weight (n p + d)^2 / HEIGHT_SIGMA^2 + |n - up|^2 / UPRIGHT_SIGMA^2; n made unit."""
    rows = torch.cat([points, torch.ones_like(points[:, :1])], dim=-1)  # [N, 4]
    normal_matrix = (rows.T * weight) @ rows / HEIGHT_SIGMA**2
    upright = torch.diag(torch.tensor([1.0, 1, 1, 1e-6], dtype=rows.dtype, device=rows.device)) / UPRIGHT_SIGMA**2
    side = torch.cat([up, up.new_zeros(1)]) / UPRIGHT_SIGMA**2
    plane = torch.linalg.solve(normal_matrix + upright, side)
    return plane / plane[:3].norm()


def _weighted_quantile(values: Tensor, weights: Tensor, below: float) -> Tensor:
    order = values.argsort()
    share = weights[order].cumsum(0) / weights.sum().clamp(min=1e-12)
    return values[order[torch.searchsorted(share, torch.full_like(share[:1], below)).clamp(max=len(order) - 1)[0]]]


AIRBORNE = 0.2  # Metres above the floor from which a foot is taken to be in the air.
SINKING_OUTLIER = 3.0  # Sigmas below the floor from which it costs only linearly.
SLIDING_OUTLIER = 4.0  # Sigmas of speed from which a foot is taken to step.


@dataclass(frozen=True)
class Ground:
    """The floor and who stands on it."""

    floor: Tensor  # [4] unit normal upwards and offset, camera frame
    standing: Tensor  # [T, P, 2] in 0..1, left and right foot
    sigma: float = SIGMAS.standing  # metres
    airborne: float = AIRBORNE  # metres

    def frames(self, index: slice | Tensor) -> Ground:
        """The same floor in some of the frames."""
        return replace(self, standing=self.standing[index])


def standing_energy(height: Tensor, ground: Ground) -> Tensor:
    """How far each standing foot is off the floor, in variances; height [T, P, 2] in metres of its lowest point."""
    return geman_mcclure((height / ground.sigma).square(), ground.airborne / ground.sigma) * ground.standing


def ground_loss(posed: PosedLandmarks, ground: Ground, evidence: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted energy as one number: feet not below the floor, standing feet on it and still."""
    depth = (ground_penetration(posed.soles, ground.floor) / SIGMAS.ground_penetration).square().amax(-1)  # [T, P, 2]
    # Where the floor is wrong, or somebody is carried, feet far below it must not pull people apart.
    below = pseudo_huber(depth, SINKING_OUTLIER) * evidence.present[..., None]
    height = height_above(posed.soles, ground.floor).amin(-1)  # [T, P, 2]
    loss = weights.floor * (below.sum() + standing_energy(height, ground).sum())
    if weights.foot_skating > 0 and len(evidence.times) > 1:
        stands = ground.standing * (height.detach().abs() < ground.airborne)
        speed = foot_skating(posed.soles.mean(-2), stands, evidence.times) / SIGMAS.foot_skating
        loss = loss + weights.foot_skating * geman_mcclure(speed.square(), SLIDING_OUTLIER).sum()
    return loss


STANDING_SPEED = 0.35  # m/s across the view; a foot that is slower may stand.
_SPEED_WIDTH = 0.08  # m/s over which standing fades out.


def standing_feet(soles: Tensor, evidence: KeypointTracks) -> Tensor:
    """How surely each foot stands [T, P, 2], in 0..1, from the speed of its sole across the view.

    soles [T, P, 2, N, 3] in the camera frame. Depth is left out: a single view knows it too badly.
    """
    centre = soles.mean(-2)  # [T, P, 2, 3]
    if len(centre) < 2:
        return evidence.seen[..., None].expand(*centre.shape[:-1])
    across = centre[..., :2] / centre[..., 2:].clamp(min=0.1)
    steps = (evidence.times[1:] - evidence.times[:-1])[:, None, None]
    speed = (across[1:] - across[:-1]).norm(dim=-1) * centre[1:, ..., 2] / steps  # [T - 1, P, 2]
    slowest = torch.minimum(torch.cat([speed[:1], speed]), torch.cat([speed, speed[-1:]]))
    return torch.sigmoid((STANDING_SPEED - slowest) / _SPEED_WIDTH) * evidence.seen[..., None]
