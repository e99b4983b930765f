"""People from the camera of a tool before the camera of the clip: the same place in the picture, the same size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from closemesh.geometry.rotations import swing
from closemesh.other_tools.tracks import ToolCamera, ToolPerson
from closemesh.scene import Camera, Floats


def place(person: ToolPerson, seen_by: ToolCamera, camera: Camera) -> ToolPerson:
    """The person in the frame of `camera`, metres.

    The pelvis falls on the same pixel, at a depth that makes it as large: z' = z f' / f. The body turns with the ray
    to it, so that the same side is seen. With equal cameras nothing changes; with other focal lengths limbs that
    reach to or from the camera fall elsewhere by as much as the perspective differs.
    """
    depth = person.pelvis[:, 2] * camera.focal / seen_by.focal  # [N]
    pixels = person.pelvis[:, :2] / person.pelvis[:, 2:] * seen_by.focal + np.array(seen_by.centre)
    rays = (pixels - np.array(camera.centre)) / camera.focal
    pelvis = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=1) * depth[:, None]
    rotations = person.rotations.copy()
    rotations[:, 0] = _turn(person.pelvis, pelvis) @ rotations[:, 0]
    return replace(person, rotations=rotations, pelvis=pelvis)


def _turn(before: Floats, after: Floats) -> Floats:
    """R_new_old [N, 3, 3], the shortest turn between two viewing directions [N, 3]."""
    unit = (torch.as_tensor(v / np.linalg.norm(v, axis=-1, keepdims=True)) for v in (before, after))
    return swing(*unit).numpy()
