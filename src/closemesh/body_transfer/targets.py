"""Landmark, surface and contact targets.

What the new body has to follow: joints and keypoints of the old one, and how its own pose is held.

The skin of the new body against the old one: vertex by vertex where faces correspond, else to nearest points.

Contact kept on another body: points that touched stay to each other as they were, gap and depth included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from closemesh.fitting.keypoint_tracks import PoseReference, anchor_energy
from closemesh.losses.keypoints import pseudo_huber
from closemesh.losses.physics import acceleration
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion

_KEYPOINTS = [*range(23), *range(91, 133)]  # Body, feet and hands; a face says nothing that the head does not.
_KEYPOINT_SIGMA = 0.015  # Metres by which bodies differ in where a keypoint lies.
_JOINT_SIGMA = 0.03  # Metres; joints lie inside, where every body has them elsewhere.
_SHAKE_SIGMA = 1.0  # m/s^2 by which joints may shake against those they follow.
_FAR_LANDMARK = 3.0  # Sigmas beyond which the pull grows only linearly.


@dataclass(frozen=True)
class LandmarkTargets:
    """Points of the old body over T frames, camera frame, metres."""

    keypoints: Tensor  # [T, P, K, 3] body, feet, hands
    joints: Tensor  # [T, P, 22, 3]
    present: Tensor  # [T, P] 1 where the person is there
    times: Tensor  # [T] seconds
    anchor: PoseReference

    def frames(self, index: slice | Tensor) -> LandmarkTargets:
        """The same people in some of the frames."""
        parts = {name: getattr(self, name)[index] for name in ("keypoints", "joints", "present", "times")}
        return replace(self, **parts, anchor=self.anchor.frames(index))


def followed_points(motion: BodyMotion, body: LandmarkBody, times: Tensor, anchor: PoseReference) -> LandmarkTargets:
    """Where `motion` has the points of its `body`; times [T] seconds."""
    arrays = (torch.as_tensor(a).to(body.joint_template) for a in (motion.betas, motion.rotations, motion.transl))
    with torch.no_grad():
        posed = pose_landmarks(body, *arrays)
    present = torch.as_tensor(motion.valid).to(posed.joints)
    return LandmarkTargets(
        posed.keypoints[..., _KEYPOINTS, :], posed.joints[..., :NUM_BODY_JOINTS, :], present, times, anchor
    )


def follow_energy(variables: MotionParameters, posed: PosedLandmarks, followed: LandmarkTargets) -> Tensor:
    """Energy as one number: points against those they follow, the copied rotations, shaking, an unlikely shape."""
    joints = posed.joints[..., :NUM_BODY_JOINTS, :]
    points = _pull(posed.keypoints[..., _KEYPOINTS, :] - followed.keypoints, _KEYPOINT_SIGMA)
    energy = points + _pull(joints - followed.joints, _JOINT_SIGMA) + anchor_energy(variables, followed.anchor)
    total = (energy * followed.present).sum() + variables.betas.square().sum()
    if len(followed.times) > 2:
        shaking = acceleration(joints - followed.joints, followed.times) / _SHAKE_SIGMA
        there = followed.present[2:] * followed.present[1:-1] * followed.present[:-2]
        total = total + (pseudo_huber(shaking.square().sum(-1), _FAR_LANDMARK).mean(-1) * there).sum()
    return total


def _pull(offset: Tensor, sigma: float) -> Tensor:
    """[T, P] of offsets [T, P, N, 3] in metres."""
    return pseudo_huber((offset / sigma).square().sum(-1), _FAR_LANDMARK).sum(-1)


SAMPLES = 400  # Vertices of the new body, spread evenly over its skin.
_SEARCH_EVERY = 20  # Steps between two searches for nearest points.
_SURFACE_SIGMA = 0.01  # Metres.
_FAR_SURFACE = 3.0
_SURFACE_WEIGHT = 40.0  # Of the mean over the samples; about as much as the keypoints of one person.


def same_faces(a: BodyModel, b: BodyModel) -> bool:
    """True when a vertex of one is the same place as that vertex of the other."""
    return torch.equal(a.faces.cpu(), b.faces.cpu()) and len(a.v_template) == len(b.v_template)


def skins(source: BodyModel, target: BodyModel) -> tuple[BodyModel, BodyModel]:
    """The meshes of both that are compared: the bodies themselves where faces correspond, else closed meshes."""
    return (
        (source, target) if same_faces(source, target) else (watertight_body(source, "coarse"), watertight_body(target))
    )


def pose_skin(body: BodyModel, variables: MotionParameters) -> Tensor:
    """Vertices [T, P, V, 3] of the mesh in the camera frame."""
    return skin(body, variables.betas, variables.rotations(), variables.transl(body))[0]


def motion_skin(body: BodyModel, motion: BodyMotion) -> Tensor:
    """The same of a motion on this body."""
    arrays = (motion.betas, motion.rotations, motion.transl, motion.expression)
    with torch.no_grad():
        return skin(body, *(torch.as_tensor(array).to(body.v_template) for array in arrays))[0]


class SurfaceTargets:
    """Energy of some vertices of the new body against the old skin, in some frames."""

    def __init__(self, source: BodyModel, target: BodyModel, motion: BodyMotion) -> None:
        """Bodies on one device; motion of `source` in the frames that are to be matched, camera frame."""
        old, new = skins(source, target)
        ids = spread_vertices(new.v_template, SAMPLES)
        self._body = new.subset(ids)
        vertices = motion_skin(old.subset(ids) if old is source else old, motion)
        self._present = torch.as_tensor(motion.valid).to(vertices)
        self._fixed = vertices if old is source else None
        self._old = vertices.double().cpu().numpy()
        self._surface = None if old is source else WatertightMesh(old.faces.cpu().numpy(), self._old[0, 0])
        self._near: tuple[Tensor, Tensor] | None = None  # Points on the old skin, and the way out of it.

    def energy(self, variables: MotionParameters, step: int) -> Tensor:
        """One number; nearest points are searched for now and then."""
        vertices = pose_skin(self._body, variables)
        if self._fixed is not None:
            squared = ((vertices - self._fixed) / _SURFACE_SIGMA).square().sum(-1)
        else:
            if self._near is None or step % _SEARCH_EVERY == 0:
                self._near = self._search(vertices.detach())
            point, outward = self._near
            squared = (((vertices - point) * outward).sum(-1) / _SURFACE_SIGMA).square()
        return _SURFACE_WEIGHT * (pseudo_huber(squared, _FAR_SURFACE).mean(-1) * self._present).sum()

    def _search(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
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
        point, outward = (torch.as_tensor(array).to(vertices) for array in both)
        return point, outward


def spread_vertices(template: Tensor, count: int) -> Tensor:
    """Ids [count] of vertices [V, 3], each as far as can be from all before it."""
    chosen = torch.zeros(min(count, len(template)), dtype=torch.int64, device=template.device)
    away = torch.full_like(template[:, 0], torch.inf)
    for k in range(1, len(chosen)):
        away = torch.minimum(away, (template - template[chosen[k - 1]]).square().sum(-1))
        chosen[k] = away.argmax()
    return chosen


TOUCH_REACH = 0.02  # Metres; surfaces nearer than this are taken to touch.
_POINTS = 48  # Of each pair in each frame; contact has hundreds, which say the same.
_CONTACT_SIGMA = 0.005  # Metres.
_CONTACT_WEIGHT = 200.0  # Of the mean over the points of a pair in one frame.


@dataclass(frozen=True)
class ContactPairs:
    """N points where two people touched, camera frame."""

    frame: Tensor  # [N] int64
    pair: tuple[int, int]
    points: Tensor  # [2, N, 3] on the first and on the second person, metres

    def frames(self, window: slice) -> ContactPairs:
        """Those of some frames, counted from the first of these."""
        chosen = (self.frame >= window.start) & (self.frame < window.stop)
        return replace(self, frame=self.frame[chosen] - window.start, points=self.points[:, chosen])


def find_touches(
    vertices: Tensor, faces: Tensor, pairs: Sequence[tuple[int, int]], valid: Tensor
) -> list[ContactPairs]:
    """Where these pairs touch; vertices [T, P, V, 3] of a closed mesh with faces [F, 3], valid [T, P] bool."""
    found = []
    for a, b in pairs:
        together = valid[:, a] & valid[:, b]
        frames = together.nonzero()[:, 0]
        meshes = (vertices[frames, a], vertices[frames, b], faces)
        parts = []
        for met in find_contacts(*meshes, TOUCH_REACH):
            point, on_surface = surface_points(*meshes, met)
            from_a = met.from_a[:, None]
            both = torch.stack([torch.where(from_a, point, on_surface), torch.where(from_a, on_surface, point)])
            parts.append((met.frame, both))
        frame, points = torch.cat([f for f, _ in parts]), torch.cat([p for _, p in parts], dim=1)
        kept = _some_of_each(frame, _POINTS)
        found.append(ContactPairs(frames[frame[kept]], (a, b), points[:, kept]))
    return [touches for touches in found if len(touches.frame)]


class ContactTargets:
    """Energy of how far those points have moved against each other on the new body."""

    def __init__(self, touches: Sequence[ContactPairs], body: BodyModel, vertices: Tensor) -> None:
        """body: closed mesh of the new body, posed near the old one with vertices [T, P, V, 3]."""
        posed = vertices.detach().double().cpu().numpy()
        surface = WatertightMesh(body.faces.cpu().numpy(), posed[0, 0])
        self._touches = touches
        self._places = [[_places(surface, t, side, posed) for side in (0, 1)] for t in touches]
        corners = [body.faces[face].flatten() for places in self._places for face, _ in places]
        ids = torch.cat(corners).unique() if corners else torch.zeros(0, dtype=torch.int64)
        position = torch.zeros(len(body.v_template), dtype=torch.int64, device=body.faces.device)
        position[ids] = torch.arange(len(ids), device=position.device)
        self._body, self._corners = body.subset(ids), position[body.faces]

    def energy(self, variables: MotionParameters) -> Tensor:
        """One number; zero when nothing touched."""
        if not self._touches:
            return variables.log_depth.new_zeros(())
        vertices = pose_skin(self._body, variables)
        return torch.stack([self._of_pair(vertices, k) for k in range(len(self._touches))]).sum()

    def _of_pair(self, vertices: Tensor, k: int) -> Tensor:
        touches = self._touches[k]
        now = [
            (bary[..., None] * vertices[touches.frame[:, None], person, self._corners[face]]).sum(-2)
            for person, (face, bary) in zip(touches.pair, self._places[k], strict=True)
        ]
        moved = (now[0] - now[1]) - (touches.points[0] - touches.points[1])
        count = torch.bincount(touches.frame, minlength=len(vertices))[touches.frame]
        return _CONTACT_WEIGHT * ((moved / _CONTACT_SIGMA).square().sum(-1) / count).sum()


def _places(surface: WatertightMesh, touches: ContactPairs, side: int, posed: np.ndarray) -> tuple[Tensor, Tensor]:
    """Face [N] and barycentrics [N, 3] of the new skin nearest to where the old one touched."""
    points, frame = touches.points[side].double().cpu().numpy(), touches.frame.cpu().numpy()
    face, bary = np.zeros(len(frame), np.int64), np.zeros((len(frame), 3))
    for t in np.unique(frame):
        here = frame == t
        found = surface.closest(points[here], posed[t, touches.pair[side]])
        face[here], bary[here] = found.face, found.barycentric
    return torch.as_tensor(face, device=touches.frame.device), torch.as_tensor(bary).to(touches.points)


def _some_of_each(frame: Tensor, count: int) -> Tensor:
    """Ids of at most `count` points of each frame [N], evenly out of all."""
    ids = [(frame == t).nonzero()[:, 0] for t in frame.unique()]
    spread = [i[torch.linspace(0, len(i) - 1, min(count, len(i)), device=i.device).round().long()] for i in ids]
    return torch.cat(spread) if spread else torch.zeros(0, dtype=torch.int64, device=frame.device)
