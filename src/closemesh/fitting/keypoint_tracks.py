"""KeypointTracks, the record of 2D and 3D keypoints that fits and networks read, and the pose that a fit stays near."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from closemesh.body.motion import MotionParameters
from closemesh.core.arrays import Bools, Floats
from closemesh.core.tensor_dataclass import TensorDataclass, no_people, static
from closemesh.geometry.camera import ray_change
from closemesh.losses.keypoints import limb_confidence, limb_directions, pseudo_huber
from closemesh.structures import Camera, Observations

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.

_OUTLIER_STD = 3.0  # Standard deviations from which the reference costs only linearly: networks have outliers.


@dataclass(frozen=True)
class PoseReference(TensorDataclass):
    """Rotations and depths that a fit stays near, each with a standard deviation."""

    rotations: Tensor  # [T, P, 22, 3, 3] R_cam_root first
    rotation_std: Tensor  # [T, P, 22] radians about each axis
    log_depth: Tensor  # [T, P]
    log_depth_std: Tensor  # [T, P]

    def scale_std(self, factor: Tensor) -> PoseReference:
        """The same reference with the standard deviations of each person times factor [P]."""
        return replace(
            self, rotation_std=self.rotation_std * factor[:, None], log_depth_std=self.log_depth_std * factor
        )


def reference_at(parameters: MotionParameters, rotation_std: float, log_depth_std: float) -> PoseReference:
    """The reference at `parameters`: rotation_std in radians about each axis, log_depth_std relative to the depth."""
    rotations = parameters.rotations()[..., :22, :, :].detach()
    return PoseReference(
        rotations=rotations,
        rotation_std=torch.full_like(rotations[..., 0, 0], rotation_std),
        log_depth=parameters.log_depth.detach(),
        log_depth_std=torch.full_like(parameters.log_depth, log_depth_std),
    )


def reference_loss(parameters: MotionParameters, reference: PoseReference) -> Tensor:
    """Robust squared distance [T, P] from the reference in standard deviations (CloseApp Eq. 9, with a std each)."""
    rotations = parameters.rotations()[..., :22, :, :]
    # |R - R'|^2 is twice the squared angle between them, for small ones.
    squared_angle = (rotations - reference.rotations).square().sum((-1, -2)) / 2
    rotation = pseudo_huber(squared_angle / reference.rotation_std.square(), _OUTLIER_STD).sum(-1)
    depth = (parameters.log_depth - reference.log_depth) / reference.log_depth_std
    return rotation + pseudo_huber(depth.square(), _OUTLIER_STD)


def keypoints3d_in_camera(observations: Observations, camera: Camera) -> Floats:
    """The 3D keypoints [T, P, 23, 4] along the viewing rays of this camera.

    Perception turns a crop's 3D keypoints to the viewing ray of the crop, with the focal length that it assumes and
    the middle of the image. The middle of the box stands for that of the crop.
    """
    points, focal = observations.keypoints3d, observations.keypoints3d_focal
    middle = (camera.size[0] / 2, camera.size[1] / 2)
    if focal is None or (focal == camera.focal and camera.principal_point == middle):
        return points
    center = (observations.boxes[..., :2] + observations.boxes[..., 2:]) / 2
    R = ray_change(center, (focal, middle), (camera.focal, camera.principal_point))
    return np.concatenate([np.einsum("tpij,tpkj->tpki", R, points[..., :3]), points[..., 3:]], axis=-1)


def border_planes(observations: Observations, size: tuple[int, int]) -> Tensor:
    """[T, P, 23, 3] a, b, c for each joint outside the image, 0 for others.

    a x + b y + c is the distance in standard deviations by which a pixel x, y lies inside the border that the joint is
    beyond. size: width and height of the image.
    """
    assert observations.outside is not None
    width, height = size
    planes = torch.tensor([[1.0, 0, 0], [-1, 0, width], [0, 1, 0], [0, -1, height]], dtype=torch.float64)
    points = torch.as_tensor(observations.keypoints[:, :, :NUM_POINTS, :2], dtype=torch.float64)
    depth = points @ planes[:, :2].T + planes[:, 2]  # [T, P, 23, 4] inside each border
    crossed = planes[depth.argmin(-1)]
    sigmas = torch.as_tensor(observations.sigmas[:, :, :NUM_POINTS, None]).clamp(min=1e-3)
    outside = torch.as_tensor(observations.outside)[..., None]
    return torch.where(outside, crossed / sigmas, 0.0).float()


_CORRELATED = (slice(23, 91), slice(91, 112), slice(112, 133))  # Face, left hand, right hand.
# Number of keypoints as which each of these groups counts. Else their 110 keypoints would dominate the 23 of the body.
_INDEPENDENT = 4
# Longest time between two detections through which a person counts as present.
MAX_MISSING_SECONDS = 0.7
MAX_HIDDEN_SECONDS = 2.0  # The same between two detections beside another person, as generated from that one.
MAX_OCCLUDED_SECONDS = 4.0  # The same while another person covers this one.
_OVERLAP = 0.3  # Part of a person's box that another box covers during occlusion.


@dataclass(frozen=True)
class KeypointTracks(TensorDataclass):
    """2D and 3D keypoints of P people over T frames on a device, and the camera that observed them.

    B stands for the batch axes: none for a clip, one for windows. K keypoints are the first ones of COCO-WholeBody.
    """

    points2d: Tensor  # [*B, T, P, K, 2] pixels
    inv_sigma: Tensor  # [*B, T, P, K] 1/pixels, weighted by confidence; 0 where a keypoint is not detected
    points3d: Tensor | None  # [*B, T, P, 23, 4] meters in the axes of cam, origin at the mid-hip; and confidence
    limb_directions: Tensor  # [*B, T, P, L, 3] unit vectors in cam, from points3d
    limb_weights: Tensor  # [*B, T, P, L] confidence of each
    detected: Tensor  # [*B, T, P] bool
    present: Tensor  # [*B, T, P] bool: detected, or between two detections that are close in time
    times: Tensor = field(metadata=no_people())  # [*B, T] seconds
    focal: Tensor = field(metadata=static())  # [*B] pixels
    principal_point: Tensor = field(metadata=static())  # [*B, 2] pixels
    reference: PoseReference | None = None  # Prediction of a network or of an earlier stage.
    border: Tensor | None = None  # [*B, T, P, 23, 3] of `border_planes`, for joints that are outside the image.

    @property
    def time_axis(self) -> int:
        """Axis of the frames."""
        return self.times.ndim - 1

    @classmethod
    def from_observations(
        cls, observations: Observations, times: Floats, camera: Camera, device: torch.device | str
    ) -> Self:
        """The tracks of all frames of a clip; times [T] seconds."""
        keypoints = torch.as_tensor(observations.keypoints, dtype=torch.float32, device=device)
        sigmas = torch.as_tensor(observations.sigmas, dtype=torch.float32, device=device)
        points3d = torch.as_tensor(keypoints3d_in_camera(observations, camera), dtype=torch.float32, device=device)
        confidence = keypoints[..., 2].clamp(0, 1)
        inv_sigma = torch.where(confidence > 0, confidence.sqrt() / sigmas.clamp(min=1e-3), 0.0)
        present = present_frames(observations.detected, observations.boxes, times)
        return cls(
            points2d=keypoints[..., :2],
            inv_sigma=inv_sigma * _correlation_factor(confidence > 0),
            points3d=points3d,
            limb_directions=limb_directions(points3d[..., :3]),
            limb_weights=limb_confidence(points3d[..., 3]),
            detected=torch.as_tensor(observations.detected, dtype=torch.bool, device=device),
            present=torch.as_tensor(present, dtype=torch.bool, device=device),
            times=torch.as_tensor(times, dtype=torch.float32, device=device),
            focal=torch.tensor(camera.focal, dtype=torch.float32, device=device),
            principal_point=torch.tensor(camera.principal_point, dtype=torch.float32, device=device),
            border=None if observations.outside is None else border_planes(observations, camera.size).to(device),
        )

    def body_keypoints(self) -> Self:
        """The same tracks with the 2D keypoints of body and feet alone, K = 23."""
        return replace(self, points2d=self.points2d[..., :NUM_POINTS, :], inv_sigma=self.inv_sigma[..., :NUM_POINTS])

    def normalized(self) -> Self:
        """The same tracks of one clip for a camera of focal length 1 with its principal point at 0."""
        border = self.border
        if border is not None:
            offset = border[..., 2] + (border[..., :2] * self.principal_point).sum(-1)
            border = torch.cat([border[..., :2] * self.focal, offset[..., None]], dim=-1)
        return replace(
            self,
            points2d=(self.points2d - self.principal_point) / self.focal,
            inv_sigma=self.inv_sigma * self.focal,
            focal=torch.ones_like(self.focal),
            principal_point=torch.zeros_like(self.principal_point),
            border=border,
        )

    def windows(self, index: Tensor) -> Self:
        """Windows of a clip: the frames index [B, W] as tracks with one batch axis."""
        focal, point = self.focal.expand(len(index)), self.principal_point.expand(len(index), 2)
        return replace(self.frames(index), focal=focal, principal_point=point)

    def per_person(self) -> Self:
        """One sequence per person: fields [B * P, T, K, ...] without an axis of people; views for a clip."""
        batch, people = self.time_axis, self.detected.shape[-1]

        def of_person(tensor: Tensor) -> Tensor:
            return tensor.transpose(batch, batch + 1).flatten(0, batch)

        def for_each_person(tensor: Tensor) -> Tensor:
            shape = (*tensor.shape[:batch], people, *tensor.shape[batch:])
            return tensor.unsqueeze(batch).expand(shape).flatten(0, batch)

        return replace(
            self.map_people(of_person),
            times=for_each_person(self.times),
            focal=for_each_person(self.focal),
            principal_point=for_each_person(self.principal_point),
        )

    def fold_batch(self) -> Self:
        """The people of all windows as the people of one clip: fields [T, B * P, K, ...].

        All windows have the times and the camera of the first one.
        """
        folded = self.per_person().map_people(lambda tensor: tensor.transpose(0, 1))
        return replace(
            folded,
            limb_directions=folded.limb_directions.contiguous(),
            limb_weights=folded.limb_weights.contiguous(),
            times=self.times[0],
            focal=self.focal[0],
            principal_point=self.principal_point[0],
        )


def _correlation_factor(detected: Tensor) -> Tensor:
    """[..., 133] factor of inv_sigma: the keypoints of a face or a hand share their error, however many there are."""
    factor = torch.ones_like(detected, dtype=torch.float32)
    for points in _CORRELATED:
        count = detected[..., points].sum(-1, keepdim=True)
        factor[..., points] = (_INDEPENDENT / count.clamp(min=_INDEPENDENT)).sqrt()
    return factor


def present_frames(detected: Bools, boxes: Floats, times: Floats) -> Bools:
    """[T, P] detected, or between two detections: close in time, or less close and both beside another person.

    The longest time is that for the smaller part of the person that is covered by another one, before and after.
    detected [T, P], boxes [T, P, 4] pixels, times [T] seconds.
    """
    present = detected.copy()
    for person in range(detected.shape[1]):
        frames = np.flatnonzero(detected[:, person])
        for before, after in itertools.pairwise(frames):
            covered = min(_covered_part(boxes[k], detected[k], person) for k in (before, after))
            if times[after] - times[before] <= _longest_gap(covered):
                present[before:after, person] = True
    return present


def _longest_gap(covered: float) -> float:
    """Seconds through which a person counts as present when another one covers a part, 0..1."""
    if covered > _OVERLAP:
        return MAX_OCCLUDED_SECONDS
    return MAX_HIDDEN_SECONDS if covered > 0 else MAX_MISSING_SECONDS


def _covered_part(boxes: Floats, detected: Bools, person: int) -> float:
    """The largest part of the person's box that another box covers; boxes [P, 4], detected [P]."""
    others = np.delete(boxes, person, axis=0)[np.delete(detected, person)]
    low, high = np.maximum(boxes[person, :2], others[:, :2]), np.minimum(boxes[person, 2:], others[:, 2:])
    common = np.prod((high - low).clip(min=0), axis=-1)
    area = float(np.prod(boxes[person, 2:] - boxes[person, :2]))
    return float(common.max(initial=0.0)) / area if area > 0 else 0.0


def best_observed_frames(tracks: KeypointTracks, count: int) -> Tensor:
    """[count] the frame with the most keypoints in each of `count` equal parts of the clip."""
    detected = (tracks.inv_sigma[..., :17] > 0).float().mean(-1).sum(-1)  # [T]
    parts = torch.arange(len(detected), device=detected.device).tensor_split(min(count, len(detected)))
    return torch.stack([part[detected[part].argmax()] for part in parts])
