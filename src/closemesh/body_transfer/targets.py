"""Targets that the new body is fitted to: landmarks, surface and contact of the source body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody, PosedLandmarks, pose_landmarks
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.body.skinning import skin
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.vertex_contacts import find_contacts, map_frames, surface_points
from closemesh.contact.watertight import watertight_body
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.fitting.keypoint_tracks import PoseReference, reference_loss
from closemesh.losses.keypoints import pseudo_huber
from closemesh.losses.physics import acceleration
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion

# Nose, eyes, shoulders, feet and hands. Bodies place ears, elbows, wrists, hips, knees and ankles differently, so that
# joints stand for them. The face only moves with the head.
_KEYPOINTS = [0, 1, 2, 5, 6, *range(17, 23), *range(91, 133)]
_KEYPOINT_SIGMA = 0.015  # Meters: how much bodies differ in the position of a keypoint.
_JOINT_SIGMA = 0.03  # Meters; joints lie inside the body, where bodies differ more.
_ACCELERATION_SIGMA = 1.0  # m/s^2 between the joints and their targets.
_HUBER_DELTA = 3.0  # Sigmas.

_NUM_SURFACE_SAMPLES = 400  # Vertices of the target body, evenly over its surface.
_SEARCH_INTERVAL = 20  # Steps between two searches for nearest points.
_SURFACE_SIGMA = 0.01  # Meters.
_SURFACE_WEIGHT = 40.0  # Weight of the mean over the samples; about the weight of the keypoints of one person.

_MAX_CONTACT_DISTANCE = 0.02  # Meters between surfaces in contact.
_MAX_CONTACT_POINTS = 48  # Per pair and frame; neighbors among hundreds add nothing.
_CONTACT_SIGMA = 0.005  # Meters.
_CONTACT_WEIGHT = 200.0  # Weight of the mean over the points of a pair in one frame.


@dataclass(frozen=True)
class LandmarkTargets(TensorDataclass):
    """Landmarks of the source body over T frames, camera frame, meters."""

    keypoints: Tensor  # [T, P, K, 3] of _KEYPOINTS
    joints: Tensor  # [T, P, 22, 3]
    present: Tensor  # [T, P] 1 where the person is valid
    times: Tensor  # [T] seconds
    reference: PoseReference


def landmark_targets(
    motion: BodyMotion, body: LandmarkBody, times: Tensor, reference: PoseReference
) -> LandmarkTargets:
    """The landmarks of `motion` on its own `body`; times [T] seconds."""
    like = body.joint_template
    betas, rotations, transl = (torch.as_tensor(a).to(like) for a in (motion.betas, motion.rotations, motion.transl))
    with torch.no_grad():
        posed = pose_landmarks(body, betas, rotations, transl)
    present = torch.as_tensor(motion.valid).to(posed.joints)
    return LandmarkTargets(
        posed.keypoints[..., _KEYPOINTS, :], posed.joints[..., :NUM_BODY_JOINTS, :], present, times, reference
    )


def landmark_loss(variables: MotionParameters, posed: PosedLandmarks, targets: LandmarkTargets) -> Tensor:
    """Loss as one number []: distance to the landmarks, copied rotations, relative acceleration, shape prior."""
    joints = posed.joints[..., :NUM_BODY_JOINTS, :]
    points = _distance_loss(posed.keypoints[..., _KEYPOINTS, :] - targets.keypoints, _KEYPOINT_SIGMA)
    loss = points + _distance_loss(joints - targets.joints, _JOINT_SIGMA) + reference_loss(variables, targets.reference)
    total = (loss * targets.present).sum() + variables.betas.square().sum()
    if len(targets.times) > 2:
        relative = acceleration(joints - targets.joints, targets.times) / _ACCELERATION_SIGMA
        present = targets.present[2:] * targets.present[1:-1] * targets.present[:-2]
        total = total + (pseudo_huber(relative.square().sum(-1), _HUBER_DELTA).mean(-1) * present).sum()
    return total


def _distance_loss(offset: Tensor, sigma: float) -> Tensor:
    """[T, P] of offsets [T, P, N, 3] in meters."""
    return pseudo_huber((offset / sigma).square().sum(-1), _HUBER_DELTA).sum(-1)


def same_faces(a: BodyModel, b: BodyModel) -> bool:
    """True when equal vertex indices of the two bodies are the same place."""
    return torch.equal(a.faces.cpu(), b.faces.cpu()) and len(a.v_template) == len(b.v_template)


def comparison_meshes(source: BodyModel, target: BodyModel) -> tuple[BodyModel, BodyModel]:
    """Meshes of both bodies to compare: the bodies themselves when faces correspond, else watertight ones."""
    if same_faces(source, target):
        return source, target
    return watertight_body(source, "coarse"), watertight_body(target)


def parameter_vertices(body: BodyModel, variables: MotionParameters) -> Tensor:
    """Vertices [T, P, V, 3] of the body in the camera frame, meters."""
    return skin(body, variables.betas, variables.rotations(), variables.transl(body))[0]


def motion_vertices(body: BodyModel, motion: BodyMotion) -> Tensor:
    """Vertices [T, P, V, 3] of a motion on this body, in the frame of the motion, meters."""
    arrays = (motion.betas, motion.rotations, motion.transl, motion.expression)
    betas, rotations, transl, expression = (torch.as_tensor(array).to(body.v_template) for array in arrays)
    with torch.no_grad():
        return skin(body, betas, rotations, transl, expression)[0]


class SurfaceTargets:
    """Loss between some vertices of the target body and the surface of the source body.

    Vertices are compared one by one when the faces of the bodies correspond, else with nearest surface points.
    """

    def __init__(self, source: BodyModel, target: BodyModel, motion: BodyMotion) -> None:
        """Bodies on one device; motion of `source` in the frames to match, camera frame."""
        old, new = comparison_meshes(source, target)
        ids = farthest_point_sample(new.v_template, _NUM_SURFACE_SAMPLES)
        self._body = new.subset(ids)
        vertices = motion_vertices(old.subset(ids) if old is source else old, motion)
        self._present = torch.as_tensor(motion.valid).to(vertices)
        self._fixed = vertices if old is source else None
        self._old = vertices.double().cpu().numpy()
        self._surface = None if old is source else WatertightMesh(old.faces.cpu().numpy(), self._old[0, 0])
        self._nearest: tuple[Tensor, Tensor] | None = None  # Points on the source surface and their normals.

    def loss(self, variables: MotionParameters, step: int) -> Tensor:
        """Loss as one number []; nearest points are searched every few steps."""
        vertices = parameter_vertices(self._body, variables)
        if self._fixed is not None:
            squared = ((vertices - self._fixed) / _SURFACE_SIGMA).square().sum(-1)
        else:
            if self._nearest is None or step % _SEARCH_INTERVAL == 0:
                self._nearest = self._search(vertices.detach())
            point, normal = self._nearest
            squared = (((vertices - point) * normal).sum(-1) / _SURFACE_SIGMA).square()
        return _SURFACE_WEIGHT * (pseudo_huber(squared, _HUBER_DELTA).mean(-1) * self._present).sum()

    def _search(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Points and normals [T, P, V, 3] of the source surface nearest to vertices [T, P, V, 3]."""
        surface, points = self._surface, vertices.double().cpu().numpy()
        assert surface is not None
        frames, people = points.shape[:2]

        def nearest(index: int) -> tuple[np.ndarray, np.ndarray]:
            t, p = divmod(index, people)
            found = surface.closest(points[t, p], self._old[t, p])
            signed = np.where(found.inside, -found.distance, found.distance)[:, None]
            return points[t, p] - signed * found.normal, found.normal

        parts = map_frames(nearest, range(frames * people))
        both = (np.stack(column).reshape(points.shape) for column in zip(*parts, strict=True))
        point, normal = (torch.as_tensor(array).to(vertices) for array in both)
        return point, normal


def farthest_point_sample(vertices: Tensor, count: int) -> Tensor:
    """Indices [count] of vertices [V, 3], each as far as possible from all before it."""
    chosen = torch.zeros(min(count, len(vertices)), dtype=torch.int64, device=vertices.device)
    distance = torch.full_like(vertices[:, 0], torch.inf)
    for k in range(1, len(chosen)):
        distance = torch.minimum(distance, (vertices - vertices[chosen[k - 1]]).square().sum(-1))
        chosen[k] = distance.argmax()
    return chosen


@dataclass(frozen=True)
class ContactPairs:
    """N pairs of points at which two people are in contact, camera frame."""

    frame: Tensor  # [N] int64
    people: tuple[int, int]
    points: Tensor  # [2, N, 3] on the first and on the second person, meters


def find_contact_pairs(
    vertices: Tensor, faces: Tensor, pairs: Sequence[tuple[int, int]], valid: Tensor
) -> list[ContactPairs]:
    """Contact points of pairs of people; pairs without contact are left out.

    vertices [T, P, V, 3] meters, of a closed mesh with faces [F, 3]; valid [T, P] bool.
    """
    found = []
    for a, b in pairs:
        frames = (valid[:, a] & valid[:, b]).nonzero()[:, 0]
        vertices_a, vertices_b = vertices[frames, a], vertices[frames, b]
        parts = []
        for contacts in find_contacts(vertices_a, vertices_b, faces, _MAX_CONTACT_DISTANCE):
            point, on_surface = surface_points(vertices_a, vertices_b, faces, contacts)
            from_a = contacts.from_a[:, None]
            both = torch.stack([torch.where(from_a, point, on_surface), torch.where(from_a, on_surface, point)])
            parts.append((contacts.frame, both))
        frame, points = torch.cat([f for f, _ in parts]), torch.cat([p for _, p in parts], dim=1)
        subset = _sample_each_frame(frame, _MAX_CONTACT_POINTS)
        found.append(ContactPairs(frames[frame[subset]], (a, b), points[:, subset]))
    return [one for one in found if len(one.frame)]


def _sample_each_frame(frame: Tensor, count: int) -> Tensor:
    """Indices of at most `count` points of each frame, evenly from all points; frame [N]."""
    ids = [(frame == t).nonzero()[:, 0] for t in frame.unique()]
    samples = [i[torch.linspace(0, len(i) - 1, min(count, len(i)), device=i.device).round().long()] for i in ids]
    return torch.cat(samples) if samples else torch.zeros(0, dtype=torch.int64, device=frame.device)


class ContactTargets:
    """Loss that keeps the offsets, depth included, between points in contact on the target body."""

    def __init__(self, contacts: Sequence[ContactPairs], body: BodyModel, vertices: Tensor) -> None:
        """body: closed mesh of the target body; vertices [T, P, V, 3] meters, posed near the source motion."""
        posed = vertices.detach().double().cpu().numpy()
        surface = WatertightMesh(body.faces.cpu().numpy(), posed[0, 0])
        self._contacts = contacts
        self._surface_points = [[_nearest_points(surface, c, side, posed) for side in (0, 1)] for c in contacts]
        corners = [body.faces[face].flatten() for sides in self._surface_points for face, _ in sides]
        ids = torch.cat(corners).unique() if corners else torch.zeros(0, dtype=torch.int64)
        position = torch.zeros(len(body.v_template), dtype=torch.int64, device=body.faces.device)
        position[ids] = torch.arange(len(ids), device=position.device)
        self._body, self._corners = body.subset(ids), position[body.faces]

    def loss(self, variables: MotionParameters) -> Tensor:
        """Loss as one number []; zero without contact."""
        if not self._contacts:
            return variables.log_depth.new_zeros(())
        vertices = parameter_vertices(self._body, variables)
        return torch.stack([self._pair_loss(vertices, k) for k in range(len(self._contacts))]).sum()

    def _pair_loss(self, vertices: Tensor, k: int) -> Tensor:
        contacts = self._contacts[k]
        current = [
            (bary[..., None] * vertices[contacts.frame[:, None], person, self._corners[face]]).sum(-2)
            for person, (face, bary) in zip(contacts.people, self._surface_points[k], strict=True)
        ]
        change = (current[0] - current[1]) - (contacts.points[0] - contacts.points[1])
        count = torch.bincount(contacts.frame, minlength=len(vertices))[contacts.frame]
        return _CONTACT_WEIGHT * ((change / _CONTACT_SIGMA).square().sum(-1) / count).sum()


def _nearest_points(
    surface: WatertightMesh, contacts: ContactPairs, side: int, posed: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Face [N] and barycentrics [N, 3] on the target body, posed [T, P, V, 3], nearest to the contact points."""
    points, frame = contacts.points[side].double().cpu().numpy(), contacts.frame.cpu().numpy()
    face, bary = np.zeros(len(frame), np.int64), np.zeros((len(frame), 3))
    for t in np.unique(frame):
        current = frame == t
        found = surface.closest(points[current], posed[t, contacts.people[side]])
        face[current], bary[current] = found.face, found.barycentric
    return torch.as_tensor(face, device=contacts.frame.device), torch.as_tensor(bary).to(contacts.points)
