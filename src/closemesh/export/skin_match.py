"""The skin of the new body against the old one: vertex by vertex where faces correspond, else to nearest points."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.body.variables import MotionVariables
from closemesh.contact.frames import map_frames
from closemesh.contact.query_body import query_body
from closemesh.contact.surface import ClosedSurface
from closemesh.energy.robust import pseudo_huber
from closemesh.scene import BodyMotion

SAMPLES = 400  # Vertices of the new body, spread evenly over its skin.
_SEARCH_EVERY = 20  # Steps between two searches for nearest points.
_SIGMA = 0.01  # Metres.
_FAR = 3.0
_WEIGHT = 40.0  # Of the mean over the samples; about as much as the keypoints of one person.


def same_faces(a: BodyModel, b: BodyModel) -> bool:
    """True when a vertex of one is the same place as that vertex of the other."""
    return torch.equal(a.faces.cpu(), b.faces.cpu()) and len(a.v_template) == len(b.v_template)


def skins(source: BodyModel, target: BodyModel) -> tuple[BodyModel, BodyModel]:
    """The meshes of both that are compared: the bodies themselves where faces correspond, else closed meshes."""
    return (source, target) if same_faces(source, target) else (query_body(source, "coarse"), query_body(target))


def pose_skin(body: BodyModel, variables: MotionVariables) -> Tensor:
    """Vertices [T, P, V, 3] of the mesh in the camera frame."""
    transl = variables.pelvis() - rest_joints(body, variables.betas)[..., 0, :]
    return skin(body, variables.betas, variables.rotations(), transl)[0]


def motion_skin(body: BodyModel, motion: BodyMotion) -> Tensor:
    """The same of a motion on this body."""
    arrays = (motion.betas, motion.rotations, motion.transl, motion.expression)
    with torch.no_grad():
        return skin(body, *(torch.as_tensor(array).to(body.v_template) for array in arrays))[0]


class SkinMatch:
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
        self._surface = None if old is source else ClosedSurface(old.faces.cpu().numpy(), self._old[0, 0])
        self._near: tuple[Tensor, Tensor] | None = None  # Points on the old skin, and the way out of it.

    def energy(self, variables: MotionVariables, step: int) -> Tensor:
        """One number; nearest points are searched for now and then."""
        vertices = pose_skin(self._body, variables)
        if self._fixed is not None:
            squared = ((vertices - self._fixed) / _SIGMA).square().sum(-1)
        else:
            if self._near is None or step % _SEARCH_EVERY == 0:
                self._near = self._search(vertices.detach())
            point, outward = self._near
            squared = (((vertices - point) * outward).sum(-1) / _SIGMA).square()
        return _WEIGHT * (pseudo_huber(squared, _FAR).mean(-1) * self._present).sum()

    def _search(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        surface, points = self._surface, vertices.double().cpu().numpy()
        assert surface is not None
        frames, people = points.shape[:2]

        def nearest(index: int) -> tuple[np.ndarray, np.ndarray]:
            t, p = divmod(index, people)
            found = surface.closest(points[t, p], self._old[t, p])
            signed = np.where(found.inside, -found.distance, found.distance)[:, None]
            return points[t, p] - signed * found.outward, found.outward

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
