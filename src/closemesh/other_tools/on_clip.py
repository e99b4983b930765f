"""People of a tool on the frames of the clip, and where our body would show their keypoints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from closemesh.body.points import PointBody, pose_points
from closemesh.geometry.camera import project
from closemesh.other_tools.tracks import ToolPerson
from closemesh.scene import Bools, Camera, Clip, Floats

NUM_POINTS = 17  # Body of COCO.


@dataclass(frozen=True)
class ClipPerson:
    """One person of a tool over the T frames of the clip; what is not there is nan."""

    told: ToolPerson
    rotations: Floats  # [T, 55, 3, 3]
    pelvis: Floats  # [T, 3] metres
    confidence: Floats  # [T]
    there: Bools  # [T]

    def moved(self, T_cam_world: Floats) -> ClipPerson:
        """The same in another frame; T_cam_world [4, 4]."""
        R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
        rotations = self.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        return replace(self, rotations=rotations, pelvis=self.pelvis @ R.T + t)


def on_clip(person: ToolPerson, clip: Clip) -> ClipPerson:
    """The person in the frames of the clip; frames that the tool lacks are left out."""
    place = {int(frame): n for n, frame in enumerate(person.frames)}
    chosen = np.array([place.get(int(frame), -1) for frame in clip.frame_indices], dtype=np.int64)
    there = chosen >= 0
    there[there] = np.isfinite(person.pelvis[chosen[there]]).all(-1)

    def spread(array: Floats) -> Floats:
        values = array[np.maximum(chosen, 0)].astype(np.float64)
        values[~there] = np.nan
        return values

    return ClipPerson(person, spread(person.rotations), spread(person.pelvis), spread(person.confidence), there)


def body_points(person: ClipPerson, body: PointBody) -> Floats:
    """Keypoints [T, 17, 3] of the mean shape of `body` in the frame of the person, metres; nan where nobody is."""
    at = person.there
    points = np.full((len(at), NUM_POINTS, 3), np.nan)
    if at.any():
        betas = torch.zeros(1, body.num_betas)
        transl = torch.as_tensor(person.pelvis[at, None], dtype=torch.float32) - body.rest_joints(betas)[:, 0]
        rotations = torch.as_tensor(person.rotations[at, None], dtype=torch.float32)
        points[at] = pose_points(body, betas, rotations, transl).keypoints[:, 0, :NUM_POINTS].numpy()
    return points


def pixels(person: ClipPerson, body: PointBody, camera: Camera) -> Floats:
    """Pixels [T, 17, 2] of those keypoints; the person stands before `camera`."""
    return project(torch.as_tensor(body_points(person, body)), camera.focal, camera.centre).numpy()
