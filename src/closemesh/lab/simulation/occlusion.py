"""Keypoints hidden from the camera: exactly by a z-buffer of the meshes, or batched with capsule bodies."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody
from closemesh.body.model import BodyModel
from closemesh.body.motion import stream_vertices
from closemesh.body.skinning import wholebody_keypoints
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import outside_image, project
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.rendering.zbuffer import render_depth
from closemesh.structures import NUM_KEYPOINTS3D

PATCH_RADIUS = 0.015  # Meters around a keypoint; more than half of this patch must be unoccluded.
_PATCH = np.array([(0, 0), *((np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3)])
OWN_DEPTH = 1.6  # Times the distance from a keypoint to the skin: allowed depth below the own surface.
OWN_MARGIN = 0.03  # Meters, added to the allowed depth.
_DEPTH_SIDE = 640  # Pixels of the longer side of the z-buffer; a pixel covers about a centimeter of a person.


def hidden_points(scene: SimulatedScene) -> Bools:
    """[T, P, 23] keypoints outside the image, behind a partner, or behind the own body.

    A keypoint inside a limb counts as visible while the surface in front of it is the skin around it. A partner hides
    it where the partner's surface is in front of the own one. Absent people (`valid`) hide nothing, and their own
    keypoints are hidden.
    """
    truth = true_points(scene)
    scale = _DEPTH_SIDE / max(scene.camera.size)
    focal, (x, y) = scene.camera.focal * scale, scene.camera.principal_point
    principal_point = (scale * x, scale * y)
    width, height = (round(scale * side) for side in scene.camera.size)
    faces, allowance = scene.body.faces.cpu().numpy(), own_depths(scene.body)
    hidden = outside_image(truth.pixels, scene.camera.size) | ~scene.motion.valid[..., None]
    for t, vertices in enumerate(stream_vertices(scene.motion, scene.body)):
        present = scene.motion.valid[t]
        depths = np.full((len(vertices), height, width), np.inf, np.float32)
        for p in np.flatnonzero(present):
            depths[p] = render_depth(vertices[p], faces, focal, principal_point, (width, height))
        for p in np.flatnonzero(present):
            own, others = depths[p], np.delete(depths, p, axis=0).min(0, initial=np.inf)
            hidden[t, p] |= _behind(truth.points_cam[t, p], own, others, allowance, focal, principal_point)
    return hidden


def own_depths(body: BodyModel) -> Floats:
    """[23] meters that each keypoint may lie behind its own surface and still be visible."""
    with torch.inference_mode():
        points = wholebody_keypoints(body, body.v_template, body.joint_template)[:NUM_KEYPOINTS3D]
        skin_distance = torch.cdist(points, body.v_template).amin(-1)
    return (OWN_DEPTH * skin_distance + OWN_MARGIN).cpu().numpy()


def _behind(
    points_cam: Floats,
    own: Floats,
    others: Floats,
    allowance: Floats,
    focal: float,
    principal_point: tuple[float, float],
) -> Bools:
    """[K] for points [K, 3] of one person, the depths [H, W] of that person and of the nearest other one."""
    depth = np.maximum(points_cam[:, 2:], 1e-3)
    around = points_cam[:, None, :2] + PATCH_RADIUS * _PATCH  # [K, N, 2]
    pixels = around / depth[..., None] * focal + np.asarray(principal_point)
    column, row = np.clip(pixels.astype(int), 0, np.array(own.shape[::-1]) - 1).transpose(2, 0, 1)
    own, others = own[row, column], others[row, column]  # [K, N]
    by_other = others < np.minimum(own, depth)
    by_self = own < depth - allowance[:, None]
    return (by_other | by_self).mean(1) > 0.5


def hidden_by_capsules(
    keypoints_cam: Tensor,
    body: CapsuleBody,
    focal: Tensor,
    principal_point: Tensor,
    size: Tensor,
    valid: Tensor | None = None,
) -> Tensor:
    """[..., T, P, 23] the batched approximation of `hidden_points`.

    keypoints_cam: [..., T, P, 23, 3] meters, camera frame. focal: [...] pixels. principal_point, size: [..., 2] pixels.
    valid: [..., T, P] people who are present. The first axes broadcast.
    """
    scalar = (..., None, None, None)
    pixels = project(keypoints_cam, focal[(*scalar, None)], principal_point[..., None, None, None, :])
    outside = ((pixels < 0) | (pixels >= size[..., None, None, None, :])).any(-1)
    present = torch.ones_like(outside[..., 0]) if valid is None else valid
    entry = _entry_distances(keypoints_cam, body)  # [..., T, P, K, P]
    entry = entry.masked_fill(~present[..., None, None, :], torch.inf)
    people = entry.shape[-1]
    same = torch.eye(people, dtype=torch.bool, device=entry.device)[:, None, :]  # [P, 1, P]
    own = entry.masked_fill(~same, torch.inf).amin(-1)  # [..., T, P, K]
    others = entry.masked_fill(same, torch.inf).amin(-1)
    distance = keypoints_cam.norm(dim=-1)
    behind = (others < torch.minimum(own, distance)) | (own < distance - OWN_DEPTH * body.depths - OWN_MARGIN)
    return behind | outside | ~present[..., None]


def _entry_distances(keypoints_cam: Tensor, body: CapsuleBody) -> Tensor:
    """[..., T, P, K, P] meters from the camera to where the ray to each keypoint enters each person, or infinity."""
    # Scalar products instead of vectors: the ray of each keypoint meets each capsule, which is most of a simulation.
    rays = torch.nn.functional.normalize(keypoints_cam, dim=-1)  # [..., T, P, K, 3]
    ends = torch.einsum("cek,...kd->...ced", body.axes, keypoints_cam)  # [..., T, P, C, 2, 3]
    start, axis = ends[..., 0, :], ends[..., 1, :] - ends[..., 0, :]  # [..., T, P, C, 3]
    start_on_ray = torch.einsum("...pkd,...qcd->...pkqc", rays, start)  # [..., T, P, K, P, C]
    axis_on_ray = torch.einsum("...pkd,...qcd->...pkqc", rays, axis)
    start_axis = (start * axis).sum(-1)[..., None, None, :, :]  # [..., T, 1, 1, P, C]
    start_squared, axis_squared = (v.square().sum(-1)[..., None, None, :, :] for v in (start, axis))
    # The axis point nearest to the ray minimizes |start + s axis| without its component along the ray.
    across = start_axis - start_on_ray * axis_on_ray
    fraction = (-across / (axis_squared - axis_on_ray.square()).clamp(min=1e-9)).clamp(0, 1)
    along_ray = start_on_ray + fraction * axis_on_ray
    squared_distance = start_squared + fraction * (2 * start_axis + fraction * axis_squared) - along_ray.square()
    depth_squared = body.radii**2 - squared_distance
    entry = along_ray - depth_squared.clamp(min=0).sqrt()
    return entry.masked_fill((depth_squared <= 0) | (entry <= 0), torch.inf).amin(-1)
