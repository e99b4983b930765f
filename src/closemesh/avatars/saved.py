"""Avatars in a result: their Gaussians as one array, and images of them in any pose."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from closemesh.avatars.model import AvatarSet, LocalGaussians
from closemesh.avatars.render import PosedPerson, Viewport, pose_gaussians, render_people
from closemesh.avatars.splatting.rasterize import BLUR
from closemesh.avatars.surface import sample_surface, surface_body
from closemesh.body.model import BodyModel
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.structures import Camera

_WIDTHS = (3, 3, 1, 4, 3)  # Offset, color, opacity, rotation and scale, in the order of LocalGaussians.


@torch.no_grad()
def pack_gaussians(avatars: AvatarSet, pixel_size: float) -> Floats:
    """The Gaussians [P, G, 14] of all people: offset, color, opacity, rotation and scale, as in LocalGaussians.

    pixel_size: meters of a pixel of the views that they were fitted to. The low-pass filter of the projection, which
    closed gaps between Gaussians there, becomes a part of their scales; a larger image would show the gaps.
    """
    blur = pixel_size * math.sqrt(BLUR)
    packed = []
    for one in avatars.gaussians([True] * len(avatars.avatars)).values():
        scales = one.scales.square().add(blur**2).sqrt()
        packed.append(torch.cat([one.offsets, one.colors, one.opacities[:, None], one.rotations, scales], dim=-1))
    return torch.stack(packed).float().cpu().numpy()


def unpack_gaussians(packed: Tensor) -> LocalGaussians:
    """The Gaussians of one person from packed [G, 14]."""
    offsets, colors, opacities, rotations, scales = packed.split(_WIDTHS, dim=-1)
    return LocalGaussians(offsets, colors, opacities[:, 0], rotations, scales)


class AvatarRenderer:
    """Renders the avatars of a result on the vertices of `self.body`."""

    def __init__(self, body: BodyModel, gaussians: Floats, uv_side: int) -> None:
        """gaussians [P, G, 14] and uv_side: of AppearanceSummary; body: that of the motion.

        Raises InputError when the Gaussians are not those of this body.
        """
        self.body = surface_body(body)
        """Body whose surface the Gaussians are on; it has the betas of the motion."""
        self._surface = sample_surface(self.body, uv_side)
        if len(self._surface) != gaussians.shape[1]:
            raise InputError(f"the avatars of this result are not those of body {body.name}; run reconstruct again")
        self._people = [unpack_gaussians(torch.as_tensor(one)) for one in gaussians]

    @torch.no_grad()
    def render(self, image: np.ndarray, vertices_cam: Floats, present: Bools, camera: Camera) -> np.ndarray:
        """A copy of the RGB image [H, W, 3] with the avatars of the present [P] people over it.

        vertices_cam [P, V, 3] meters, of `self.body`.
        """
        people = np.flatnonzero(present).tolist()
        if not people:
            return image.copy()
        width, height = camera.size
        viewport = Viewport(camera.focal, camera.principal_point, (height, width))
        vertices = torch.as_tensor(vertices_cam)
        posed = [
            PosedPerson(pose_gaussians(self._surface, vertices[one], self._people[one]), self._people[one])
            for one in people
        ]
        rendered = render_people(posed, viewport, people, len(self._people))
        background = torch.as_tensor(image, dtype=torch.float32) / 255
        return (255 * rendered.over(background)).round().clamp(0, 255).byte().numpy()
