"""Contact kept on another body: points that touched stay to each other as they were, gap and depth included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables
from closemesh.contact.crossings import find_meeting, surface_points
from closemesh.contact.surface import ClosedSurface
from closemesh.export.skin_match import pose_skin

TOUCH_REACH = 0.02  # Metres; surfaces nearer than this are taken to touch.
_POINTS = 48  # Of each pair in each frame; contact has hundreds, which say the same.
_SIGMA = 0.005  # Metres.
_WEIGHT = 200.0  # Of the mean over the points of a pair in one frame.


@dataclass(frozen=True)
class Touches:
    """N points where two people touched, camera frame."""

    frame: Tensor  # [N] int64
    pair: tuple[int, int]
    points: Tensor  # [2, N, 3] on the first and on the second person, metres

    def frames(self, window: slice) -> Touches:
        """Those of some frames, counted from the first of these."""
        chosen = (self.frame >= window.start) & (self.frame < window.stop)
        return replace(self, frame=self.frame[chosen] - window.start, points=self.points[:, chosen])


def find_touches(vertices: Tensor, faces: Tensor, pairs: Sequence[tuple[int, int]], valid: Tensor) -> list[Touches]:
    """Where these pairs touch; vertices [T, P, V, 3] of a closed mesh with faces [F, 3], valid [T, P] bool."""
    found = []
    for a, b in pairs:
        together = valid[:, a] & valid[:, b]
        frames = together.nonzero()[:, 0]
        meshes = (vertices[frames, a], vertices[frames, b], faces)
        parts = []
        for met in find_meeting(*meshes, TOUCH_REACH):
            point, on_surface = surface_points(*meshes, met)
            from_a = met.from_a[:, None]
            both = torch.stack([torch.where(from_a, point, on_surface), torch.where(from_a, on_surface, point)])
            parts.append((met.frame, both))
        frame, points = torch.cat([f for f, _ in parts]), torch.cat([p for _, p in parts], dim=1)
        kept = _some_of_each(frame, _POINTS)
        found.append(Touches(frames[frame[kept]], (a, b), points[:, kept]))
    return [touches for touches in found if len(touches.frame)]


class HeldContacts:
    """Energy of how far those points have moved against each other on the new body."""

    def __init__(self, touches: Sequence[Touches], body: BodyModel, vertices: Tensor) -> None:
        """body: closed mesh of the new body, posed near the old one with vertices [T, P, V, 3]."""
        posed = vertices.detach().double().cpu().numpy()
        surface = ClosedSurface(body.faces.cpu().numpy(), posed[0, 0])
        self._touches = touches
        self._places = [[_places(surface, t, side, posed) for side in (0, 1)] for t in touches]
        corners = [body.faces[face].flatten() for places in self._places for face, _ in places]
        ids = torch.cat(corners).unique() if corners else torch.zeros(0, dtype=torch.int64)
        position = torch.zeros(len(body.v_template), dtype=torch.int64, device=body.faces.device)
        position[ids] = torch.arange(len(ids), device=position.device)
        self._body, self._corners = body.subset(ids), position[body.faces]

    def energy(self, variables: MotionVariables) -> Tensor:
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
        return _WEIGHT * ((moved / _SIGMA).square().sum(-1) / count).sum()


def _places(surface: ClosedSurface, touches: Touches, side: int, posed: np.ndarray) -> tuple[Tensor, Tensor]:
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
