"""The floor plane from standing feet, foot contact over time, and the loss of feet relative to the floor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.tensor_dataclass import TensorDataclass, static
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.optimizer import SIGMAS, Weights
from closemesh.geometry.transforms import upright_axes
from closemesh.losses.keypoints import geman_mcclure, pseudo_huber
from closemesh.losses.physics import foot_skating, ground_penetration, height_above
from closemesh.structures import Camera

HEIGHT_SIGMA = 0.10  # Meters: the depth of a person, and so the height of the feet, is this uncertain.
NUM_OBSERVATIONS = 5.0  # Independent ones of the floor that one person's feet count as, however long they stand,
NUM_UNALIGNED_OBSERVATIONS = 0.5  # and before alignment, when a wrong size would only tilt the floor.
UPRIGHT_SIGMA = 0.10  # Radians between the mean body axis and the vertical.
FIRST_QUANTILE = 0.3  # Fraction of the standing feet below the plane that the search for the floor starts with.
FLOOR_TOLERANCE = 0.06  # Meters; standing feet closer than this to the plane support it.
MIN_STANDING = 5.0  # Weighted foot observations that a floor needs.
MIN_SUPPORTING = 0.5  # Fraction of the standing feet that must support it.
_ITERATIONS = 20
AIRBORNE = 0.2  # Meters above the floor from which a foot is taken to be in the air.
PENETRATION_OUTLIER = 3.0  # Sigmas below the floor from which the loss grows only linearly.
SKATING_OUTLIER = 4.0  # Sigmas of speed from which a foot is taken to step.
STANDING_SPEED = 0.35  # m/s across the view; a slower foot may stand.
_SPEED_WIDTH = 0.08  # m/s over which foot contact fades out.


def body_axes(joints: Tensor) -> Tensor:
    """Direction [..., 3] from the ankles to the neck; joints [..., 55, 3]."""
    ankles = joints[..., [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]], :].mean(-2)
    return F.normalize(joints[..., JOINT_INDEX["neck"], :] - ankles, dim=-1)


def body_axis(joints: Tensor, detected: Tensor) -> Tensor:
    """The usual direction [3] of `body_axes`; joints [T, P, 55, 3], detected [T, P] bool.

    A geometric median over people and frames, so that a few bends and lunges do not tilt it.
    """
    axes = body_axes(joints)[detected]  # [N, 3]
    axis = axes.mean(0)
    for _ in range(_ITERATIONS):
        weights = 1 / (axes - axis).norm(dim=-1, keepdim=True).clamp(min=0.05)
        axis = (weights * axes).sum(0) / weights.sum()
    return F.normalize(axis, dim=0)


def foot_contact(soles: Tensor, tracks: KeypointTracks) -> Tensor:
    """[T, P, 2] in 0..1 how likely each foot stands, from the speed of its sole across the view.

    soles [T, P, 2, N, 3] in the camera frame. Motion in depth is ignored: a single view determines it too poorly.
    """
    middle = soles.mean(-2)  # [T, P, 2, 3]
    detected = tracks.detected.to(soles)[..., None]
    if len(middle) < 2:
        return detected.expand(*middle.shape[:-1])
    across = middle[..., :2] / middle[..., 2:].clamp(min=0.1)
    steps = (tracks.times[1:] - tracks.times[:-1])[:, None, None]
    speed = (across[1:] - across[:-1]).norm(dim=-1) * middle[1:, ..., 2] / steps  # [T - 1, P, 2]
    slowest = torch.minimum(torch.cat([speed[:1], speed]), torch.cat([speed, speed[-1:]]))
    return torch.sigmoid((STANDING_SPEED - slowest) / _SPEED_WIDTH) * detected


def fit_floor(soles: Tensor, standing: Tensor, up: Tensor, observations: float = NUM_OBSERVATIONS) -> Tensor:
    """The plane [4], unit normal upwards and offset, that the standing feet rest on.

    soles [T, P, 2, N, 3] in the camera frame, standing [T, P, 2] in 0..1, up [3] the expected normal. Each foot counts
    by its lowest point along `up`, and each person alike. Feet off the plane, in a jump or of a carried person, lose
    weight, those above it sooner: nothing stands below the floor.
    """
    lowest = soles.gather(-2, (soles @ up).argmin(-1)[..., None, None].expand(*soles.shape[:-2], 1, 3))[..., 0, :]
    weight = observations * standing / standing.sum((0, 2), keepdim=True).clamp(min=1e-6)  # [T, P, 2]
    points, weight = lowest.reshape(-1, 3).double(), weight.reshape(-1).double()
    up = up.double()
    plane = torch.cat([up, -_weighted_quantile(points @ up, weight, FIRST_QUANTILE)[None]])
    for _ in range(_ITERATIONS):
        height = (points @ plane[:3] + plane[3]) / HEIGHT_SIGMA
        robust = weight / (1 + height.clamp(min=0) ** 2) ** 2 / (1 + height.clamp(max=0) ** 2).sqrt()
        plane = _solve_plane(points, robust, up)
    return plane.to(soles)


def _solve_plane(points: Tensor, weight: Tensor, up: Tensor) -> Tensor:
    """Least squares over n and d of weight (n p + d)^2 / HEIGHT_SIGMA^2 + |n - up|^2 / UPRIGHT_SIGMA^2; n made unit."""
    rows = torch.cat([points, torch.ones_like(points[:, :1])], dim=-1)  # [N, 4]
    normal_matrix = (rows.T * weight) @ rows / HEIGHT_SIGMA**2
    upright = torch.diag(torch.tensor([1.0, 1, 1, 1e-6], dtype=rows.dtype, device=rows.device)) / UPRIGHT_SIGMA**2
    side = torch.cat([up, up.new_zeros(1)]) / UPRIGHT_SIGMA**2
    plane = torch.linalg.solve(normal_matrix + upright, side)
    return plane / plane[:3].norm()


def _weighted_quantile(values: Tensor, weights: Tensor, fraction: float) -> Tensor:
    order = values.argsort()
    cumulative = weights[order].cumsum(0) / weights.sum().clamp(min=1e-12)
    index = torch.searchsorted(cumulative, torch.full_like(cumulative[:1], fraction))
    return values[order[index.clamp(max=len(order) - 1)[0]]]


def floor_offsets(soles: Tensor, standing: Tensor, floor: Tensor) -> Tensor:
    """Median height [P] in meters of each person's standing feet above the plane; 0 for a person who never stands.

    soles [T, P, 2, N, 3], standing [T, P, 2], floor [4].
    """
    heights = height_above(soles, floor).amin(-1)  # [T, P, 2]
    offsets = []
    for person in range(heights.shape[1]):
        stands = standing[:, person] > 0.5
        offsets.append(heights[:, person][stands].median() if stands.any() else heights.new_zeros(()))
    return torch.stack(offsets)


def floor_support(soles: Tensor, standing: Tensor, floor: Tensor, tolerance: float = FLOOR_TOLERANCE) -> bool:
    """Whether enough standing feet of one person are within `tolerance` meters of the plane.

    soles [T, P, 2, N, 3], standing [T, P, 2], floor [4].
    """
    heights = height_above(soles, floor).amin(-1)  # [T, P, 2]
    total = standing.sum((0, 2))  # [P]
    supporting = (standing * (heights.abs() < tolerance)).sum((0, 2))
    return bool(((total >= MIN_STANDING) & (supporting >= MIN_SUPPORTING * total)).any())


def place_on_floor(camera: Camera, floor: Tensor, points: Tensor, found: bool) -> Camera:
    """The camera with its world frame: y along the floor's normal, origin on the floor under the points.

    floor [4], points [N, 3] of cam. z points from the origin towards the camera, so that left in the image stays left.
    """
    normal = floor[:3].double().cpu().numpy()
    middle = points.double().mean(0).cpu().numpy()
    origin = middle - (middle @ normal + float(floor[3])) * normal
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3] = upright_axes(normal, -origin)
    T_cam_world[:3, 3] = origin
    return replace(
        camera,
        T_cam_world=np.tile(T_cam_world, (len(camera.T_cam_world), 1, 1)),
        floor_found=found,
        up_std=camera.up_std or UPRIGHT_SIGMA,
    )


@dataclass(frozen=True)
class Ground(TensorDataclass):
    """The floor and the foot contact."""

    floor: Tensor = field(metadata=static())  # [4] unit normal upwards and offset, camera frame
    standing: Tensor  # [T, P, 2] in 0..1, left and right foot
    sigma: float = SIGMAS.standing  # meters
    airborne: float = AIRBORNE  # meters


def standing_loss(height: Tensor, ground: Ground) -> Tensor:
    """[T, P, 2] robust squared height of each standing foot in sigmas; height [T, P, 2] meters of its lowest point."""
    return geman_mcclure((height / ground.sigma).square(), ground.airborne / ground.sigma) * ground.standing


def ground_loss(posed: PosedLandmarks, ground: Ground, tracks: KeypointTracks, weights: Weights) -> Tensor:
    """Weighted loss []: feet not below the floor, standing feet on it and still."""
    depth = (ground_penetration(posed.soles, ground.floor) / SIGMAS.ground_penetration).square().amax(-1)  # [T, P, 2]
    # Where the floor is wrong, or a person is carried, feet far below it must not pull people apart.
    below = pseudo_huber(depth, PENETRATION_OUTLIER) * tracks.present[..., None]
    height = height_above(posed.soles, ground.floor).amin(-1)  # [T, P, 2]
    loss = weights.floor * (below.sum() + standing_loss(height, ground).sum())
    if weights.foot_skating > 0 and len(tracks.times) > 1:
        standing = ground.standing * (height.detach().abs() < ground.airborne)
        speed = foot_skating(posed.soles.mean(-2), standing, tracks.times) / SIGMAS.foot_skating
        loss = loss + weights.foot_skating * geman_mcclure(speed.square(), SKATING_OUTLIER).sum()
    return loss
