"""Extrinsics by PnP, change of camera.

Where the camera stands in the world of a file that tells none: the one place from which people are seen as they are.

For a camera that stands still; the keypoints of everybody in all frames tell it together (perspective-n-point).

People from the camera of a tool before the camera of the clip: the same place in the picture, the same size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from closemesh.body.landmarks import LandmarkBody
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import shortest_arc_rotation
from closemesh.importers.association import ClipPerson, body_points, match_people, pixels, track_costs
from closemesh.importers.results import ImportedPerson, ToolCamera
from closemesh.structures import Camera, Observations

_SEEN = 0.3
_MOST = 3000  # Points that are solved for; more say the same.
_FEWEST = 12
_ROUNDS = 3
_INLIER = 0.06  # Of the larger side of the frame.


def estimate_extrinsics(
    people: Sequence[ClipPerson], observations: Observations, camera: Camera, body: LandmarkBody
) -> Floats:
    """T_cam_world [4, 4] of the people's world. Raises InputError when they cannot be brought over the tracks.

    Each person is tried over each track, the best try tells who is who, and then all count together.
    """
    points = [body_points(person, body) for person in people]
    best, error = None, np.inf
    for k in range(len(people)):
        for track in range(observations.num_people):
            tried = _solve([(points[k], track)], observations, camera)
            cost = np.inf if tried is None else _cost(people, tried, observations, camera, body)
            if cost < error:
                best, error = tried, cost
    for _ in range(_ROUNDS):
        matched = {} if best is None else _match(people, best, observations, camera, body)
        better = _solve([(points[k], track) for track, ks in matched.items() for k in ks], observations, camera)
        best = better if better is not None else best
    if best is None or not _match(people, best, observations, camera, body):
        raise InputError("the people of the file are not seen in this clip from any one place; is it of another clip?")
    return best


def _match(
    people: Sequence[ClipPerson], T_cam_world: Floats, observations: Observations, camera: Camera, body: LandmarkBody
) -> dict[int, list[int]]:
    return match_people([pixels(p.moved(T_cam_world), body, camera) for p in people], observations)


def _cost(
    people: Sequence[ClipPerson], T_cam_world: Floats, observations: Observations, camera: Camera, body: LandmarkBody
) -> float:
    """Sum over the people of how far each is from the nearest track."""
    costs = [track_costs(pixels(p.moved(T_cam_world), body, camera), observations) for p in people]
    return float(sum(min(cost.min(), 1.0) for cost in costs))


def _solve(pairs: Sequence[tuple[Floats, int]], observations: Observations, camera: Camera) -> Floats | None:
    """T_cam_world from world points [T, 17, 3] of some people and the tracks that they are; None when it fails."""
    points3d: list[Floats] = [np.zeros((0, 3))]
    points2d: list[Floats] = [np.zeros((0, 2))]
    for points, track in pairs:
        keypoints = observations.keypoints[:, track, : points.shape[1]]
        used = (keypoints[..., 2] > _SEEN) & observations.detected[:, track, None] & np.isfinite(points).all(-1)
        points3d.append(points[used])
        points2d.append(keypoints[used][:, :2])
    world, seen = np.concatenate(points3d), np.concatenate(points2d).astype(np.float64)
    if len(world) < _FEWEST:
        return None
    some = np.linspace(0, len(world) - 1, min(_MOST, len(world))).round().astype(int)
    K = np.array(
        [[camera.focal, 0, camera.principal_point[0]], [0, camera.focal, camera.principal_point[1]], [0, 0, 1.0]]
    )
    threshold = _INLIER * max(camera.size)
    cv2.setRNGSeed(0)  # The same file gives the same place.
    found, turn, t, inliers = cv2.solvePnPRansac(
        world[some], seen[some], K, None, reprojectionError=threshold, flags=cv2.SOLVEPNP_SQPNP
    )
    if not found or inliers is None or len(inliers) < _FEWEST:
        return None
    kept = some[inliers[:, 0]]
    turn, t = cv2.solvePnPRefineLM(world[kept], seen[kept], K, None, turn, t)
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = cv2.Rodrigues(turn)[0], t[:, 0]
    in_front = world @ T_cam_world[2, :3] + T_cam_world[2, 3] > 0
    return T_cam_world if in_front.mean() > 0.9 else None


def to_clip_camera(person: ImportedPerson, seen_by: ToolCamera, camera: Camera) -> ImportedPerson:
    """The person in the frame of `camera`, metres.

    The pelvis falls on the same pixel, at a depth that makes it as large: z' = z f' / f. The body turns with the ray
    to it, so that the same side is seen. With equal cameras nothing changes; with other focal lengths limbs that
    reach to or from the camera fall elsewhere by as much as the perspective differs.
    """
    depth = person.pelvis[:, 2] * camera.focal / seen_by.focal  # [N]
    pixels = person.pelvis[:, :2] / person.pelvis[:, 2:] * seen_by.focal + np.array(seen_by.centre)
    rays = (pixels - np.array(camera.principal_point)) / camera.focal
    pelvis = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=1) * depth[:, None]
    rotations = person.rotations.copy()
    rotations[:, 0] = _turn(person.pelvis, pelvis) @ rotations[:, 0]
    return replace(person, rotations=rotations, pelvis=pelvis)


def _turn(before: Floats, after: Floats) -> Floats:
    """R_new_old [N, 3, 3], the shortest turn between two viewing directions [N, 3]."""
    unit = (torch.as_tensor(v / np.linalg.norm(v, axis=-1, keepdims=True)) for v in (before, after))
    return shortest_arc_rotation(*unit).numpy()
