"""Extrinsics of the clip's camera in an imported world, and change from the tool's camera to the clip's."""

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
from closemesh.importers.association import (
    MIN_CONFIDENCE,
    ClipPerson,
    match_people,
    mean_shape_keypoints,
    project_keypoints,
    track_costs,
)
from closemesh.importers.results import ImportedPerson, ToolCamera
from closemesh.structures import Camera, ObservedClip

_MAX_POINTS = 3000  # More do not make the solution better.
_MIN_POINTS = 12
_ROUNDS = 3
_INLIER = 0.06  # Fraction of the larger side of the frame.


def estimate_extrinsics(people: Sequence[ClipPerson], observed: ObservedClip, body: LandmarkBody) -> Floats:
    """T_cam_world [4, 4] of a static camera, from the people in their world and their tracks in the clip.

    Perspective-n-point over the keypoints of all people in all frames. Each person is tried on each track; the best
    trial assigns the others, and then all points count together. Raises InputError when no trial matches any track.
    """
    points = [mean_shape_keypoints(person, body) for person in people]
    best, error = None, np.inf
    for k in range(len(people)):
        for track in range(observed.observations.num_people):
            trial = _solve([(points[k], track)], observed)
            cost = np.inf if trial is None else _cost(people, trial, observed, body)
            if cost < error:
                best, error = trial, cost
    for _ in range(_ROUNDS):
        matched = {} if best is None else _match(people, best, observed, body)
        better = _solve([(points[k], track) for track, ks in matched.items() for k in ks], observed)
        best = better if better is not None else best
    if best is None or not _match(people, best, observed, body):
        raise InputError("no camera position shows the people of the file as in this clip; is it of another clip?")
    return best


def _match(
    people: Sequence[ClipPerson], T_cam_world: Floats, observed: ObservedClip, body: LandmarkBody
) -> dict[int, list[int]]:
    pixels = [project_keypoints(person.transform(T_cam_world), body, observed.camera) for person in people]
    return match_people(pixels, observed.observations)


def _cost(people: Sequence[ClipPerson], T_cam_world: Floats, observed: ObservedClip, body: LandmarkBody) -> float:
    """Sum over the people of the error against the nearest track, at most 1 each."""
    pixels = [project_keypoints(person.transform(T_cam_world), body, observed.camera) for person in people]
    return float(sum(min(track_costs(one, observed.observations).min(), 1.0) for one in pixels))


def _solve(pairs: Sequence[tuple[Floats, int]], observed: ObservedClip) -> Floats | None:
    """T_cam_world [4, 4] from pairs of world points [T, 17, 3] and a track; None when there is no solution."""
    points3d: list[Floats] = [np.zeros((0, 3))]
    points2d: list[Floats] = [np.zeros((0, 2))]
    detected = observed.observations.detected
    for points, track in pairs:
        keypoints = observed.observations.keypoints[:, track, : points.shape[1]]
        used = (keypoints[..., 2] > MIN_CONFIDENCE) & detected[:, track, None] & np.isfinite(points).all(-1)
        points3d.append(points[used])
        points2d.append(keypoints[used][:, :2])
    world, pixels = np.concatenate(points3d), np.concatenate(points2d).astype(np.float64)
    if len(world) < _MIN_POINTS:
        return None
    subset = np.linspace(0, len(world) - 1, min(_MAX_POINTS, len(world))).round().astype(int)
    K = _intrinsics(observed.camera)
    threshold = _INLIER * max(observed.camera.size)
    cv2.setRNGSeed(0)  # RANSAC draws samples: the same file must give the same camera.
    found, rotation, t, inliers = cv2.solvePnPRansac(
        world[subset], pixels[subset], K, None, reprojectionError=threshold, flags=cv2.SOLVEPNP_SQPNP
    )
    if not found or inliers is None or len(inliers) < _MIN_POINTS:
        return None
    used = subset[inliers[:, 0]]
    rotation, t = cv2.solvePnPRefineLM(world[used], pixels[used], K, None, rotation, t)
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3], T_cam_world[:3, 3] = cv2.Rodrigues(rotation)[0], t[:, 0]
    in_front = world @ T_cam_world[2, :3] + T_cam_world[2, 3] > 0
    return T_cam_world if in_front.mean() > 0.9 else None


def _intrinsics(camera: Camera) -> Floats:
    """K [3, 3]."""
    x, y = camera.principal_point
    return np.array([[camera.focal, 0, x], [0, camera.focal, y], [0, 0, 1.0]])


def to_clip_camera(person: ImportedPerson, source: ToolCamera, camera: Camera) -> ImportedPerson:
    """The person, imported in the frame of `source`, in the frame of `camera`, meters.

    The pelvis stays on its pixel, at the depth z' = z f' / f that keeps its size in the image. The body turns with the
    viewing ray, so that the same side is visible. Equal cameras change nothing. With another focal length, limbs that
    point along the ray shift by the difference in perspective.
    """
    depth = person.pelvis[:, 2] * camera.focal / source.focal  # [N]
    pixels = person.pelvis[:, :2] / person.pelvis[:, 2:] * source.focal + np.array(source.principal_point)
    rays = (pixels - np.array(camera.principal_point)) / camera.focal
    pelvis = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=1) * depth[:, None]
    rotations = person.rotations.copy()
    rotations[:, 0] = _ray_rotation(person.pelvis, pelvis) @ rotations[:, 0]
    return replace(person, rotations=rotations, pelvis=pelvis)


def _ray_rotation(before: Floats, after: Floats) -> Floats:
    """R_new_old [N, 3, 3], the shortest rotation between viewing directions [N, 3]."""
    unit = (torch.as_tensor(v / np.linalg.norm(v, axis=-1, keepdims=True)) for v in (before, after))
    return shortest_arc_rotation(*unit).numpy()
