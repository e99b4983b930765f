"""A short rendered video of two people beside each other, with their keypoints, boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from known_scenes import KnownScene

from closemesh.body.motion import motion_keypoints, stream_vertices
from closemesh.geometry.camera import project
from closemesh.lab.simulation.rendered_video import render_frames
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.perception.types import CropEstimate, CropPose, Detection
from closemesh.rendering.zbuffer import render_mesh

FRAMES = 3


@dataclass(frozen=True)
class RenderedPeople:
    """A short video of two people beside each other, with ground truth."""

    images: list[np.ndarray]
    """RGB [H, W, 3]."""
    keypoints: np.ndarray
    """[T, 2, 133, 2] pixels."""
    boxes: np.ndarray
    """[T, 2, 4] pixels."""
    masks: np.ndarray
    """[2, H, W] bool, of the first image."""

    def detection(self, person: int) -> Detection:
        """A perfect detection of one of them in the first image."""
        points = np.column_stack([self.keypoints[0, person, :17], np.full(17, 0.9)])
        return Detection(self.boxes[0, person], points, 0.9)

    def estimates(self) -> dict[int, CropEstimate]:
        """Estimates of both in the first image, with empty masks."""
        nothing = CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), np.zeros((4, 4)), np.eye(3)[:2], 1.0)
        return {person: CropEstimate(person, self.detection(person), nothing, 1.0) for person in range(2)}

    def write(self, folder: Path) -> Path:
        """Write the video as a folder of numbered images."""
        for number, image in enumerate(self.images):
            cv2.imwrite(str(folder / f"{number:03d}.png"), image[..., ::-1])
        return folder

    def agreement(self, labels: np.ndarray) -> list[float]:
        """Intersection over union of each person's true mask and the one in a label image."""
        return [
            float(((labels == n) & mask).sum() / ((labels == n) | mask).sum())
            for n, mask in enumerate(self.masks, start=1)
        ]


def rendered_people(known: KnownScene) -> RenderedPeople:
    """The known scene with its second person moved aside, as a video."""
    motion = known.motion.with_pose(
        **{name: getattr(known.motion, name)[:FRAMES].copy() for name in ("rotations", "transl", "valid")}
    )
    motion = replace(motion, expression=motion.expression[:FRAMES], confidence=motion.confidence[:FRAMES])
    motion.transl[:, 1] += (0.5, 0, 0)
    clip = replace(known.clip, frame_indices=np.arange(FRAMES), times=known.clip.times[:FRAMES])
    scene = SimulatedScene(clip, known.camera, motion, known.body, "known", "waving")
    camera = known.camera
    keypoints = project(
        torch.as_tensor(motion_keypoints(motion, known.body)), camera.focal, camera.principal_point
    ).numpy()
    margin = np.array([-12, -25, 12, 12])  # From the nose to the crown, from the ankles to the soles.
    boxes = np.concatenate([keypoints[:, :, :17].min(2), keypoints[:, :, :17].max(2)], -1) + margin
    vertices, faces = next(stream_vertices(motion, known.body)), known.body.faces.numpy()
    black = np.zeros((*camera.size[::-1], 3), np.uint8)
    masks = [
        render_mesh(black, v, faces, np.full(v.shape, 255.0), camera.focal, camera.principal_point)[..., 0]
        for v in vertices
    ]
    return RenderedPeople(list(render_frames(scene, 1)), keypoints, boxes, np.array(masks) > 0)
