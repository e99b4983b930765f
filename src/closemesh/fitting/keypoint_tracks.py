"""KeypointTracks: the one record of 2D/3D keypoint evidence; PoseReference.

What a network took for likely, as something that a fit stays near, each number as near as the network was sure.

What the images say, as tensors that the energies compare bodies with.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters
from closemesh.core.arrays import Bools, Floats
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.losses.keypoints import limb_confidence, limb_directions, pseudo_huber
from closemesh.structures import Camera, Observations

_FAR = 3.0  # Spreads beyond which the pull grows only linearly: networks are sometimes quite wrong.


@dataclass(frozen=True)
class PoseReference(TensorDataclass):
    """Mean and spread of the rotations and of the depth."""

    rotations: Tensor  # [T, P, 22, 3, 3] R_cam_root first
    rotation_spread: Tensor  # [T, P, 22] radians about each axis
    log_depth: Tensor  # [T, P]
    log_depth_spread: Tensor  # [T, P]

    def scale_std(self, factor: Tensor) -> PoseReference:
        """With the spreads of each person [P] times a factor."""
        spreads = self.rotation_spread * factor[:, None], self.log_depth_spread * factor
        return replace(self, rotation_spread=spreads[0], log_depth_spread=spreads[1])


def reference_at(variables: MotionParameters, turn: float, depth: float) -> PoseReference:
    """At the variables as they are, to within `turn` radians about each axis and a share `depth` of each distance."""
    rotations = variables.rotations()[..., :22, :, :].detach()
    return PoseReference(
        rotations=rotations,
        rotation_spread=torch.full_like(rotations[..., 0, 0], turn),
        log_depth=variables.log_depth.detach(),
        log_depth_spread=torch.full_like(variables.log_depth, depth),
    )


def anchor_energy(variables: MotionParameters, anchor: PoseReference) -> Tensor:
    """Squared distance [T, P] from the anchor, in spreads (CloseApp Eq. 9, weighted by how sure the start is)."""
    rotations = variables.rotations()[..., :22, :, :]
    # |R - R'|^2 is twice the squared angle between them, for small ones.
    squared_angle = (rotations - anchor.rotations).square().sum((-1, -2)) / 2
    turned = pseudo_huber(squared_angle / anchor.rotation_spread.square(), _FAR).sum(-1)
    moved = (variables.log_depth - anchor.log_depth) / anchor.log_depth_spread
    return turned + pseudo_huber(moved.square(), _FAR)


_TOGETHER = (slice(23, 91), slice(91, 112), slice(112, 133))  # Face, left hand, right hand.
_INDEPENDENT = 4  # So many points they count as; else 110 of them would outvote the 23 of body and feet.
LONGEST_GAP = 0.7  # Seconds between two sightings that are filled in; longer, the person is taken to be away,
LONGEST_HIDDEN = 4.0  # unless somebody stands before him when he goes and when he comes back.
_OVERLAP = 0.3  # Of the box of the person that somebody else's covers.


@dataclass(frozen=True)
class KeypointTracks:
    """Observations of T frames and P people on a device, and the camera they were seen with."""

    points: Tensor  # [T, P, 133, 2] pixels
    inverse_sigmas: Tensor  # [T, P, 133] 1 / pixels, weighted by confidence; 0 where nothing was seen
    limb_directions: Tensor  # [T, P, L, 3] unit vectors in cam
    limb_weights: Tensor  # [T, P, L] confidence of each
    seen: Tensor  # [T, P] 1 where the person is detected, else 0
    present: Tensor  # [T, P] 1 where the person is seen or between two near sightings
    times: Tensor  # [T] seconds
    focal: float  # pixels
    centre: tuple[float, float]  # pixels
    anchor: PoseReference | None = None  # What a network made of all this.

    def frames(self, index: slice | Tensor) -> KeypointTracks:
        """The same people in some of the frames."""
        names = ("points", "inverse_sigmas", "limb_directions", "limb_weights", "seen", "present", "times")
        anchor = self.anchor and self.anchor.frames(index)
        return replace(self, **{name: getattr(self, name)[index] for name in names}, anchor=anchor)


def make_evidence(
    observations: Observations, times: Floats, camera: Camera, device: torch.device | str
) -> KeypointTracks:
    """Evidence of all frames; times [T] seconds."""
    keypoints = torch.as_tensor(observations.keypoints, dtype=torch.float32, device=device)
    sigmas = torch.as_tensor(observations.sigmas, dtype=torch.float32, device=device)
    cue = torch.as_tensor(observations.keypoints3d, dtype=torch.float32, device=device)
    confidence = keypoints[..., 2].clamp(0, 1)
    certainty = torch.where(confidence > 0, confidence.sqrt() / sigmas.clamp(min=1e-3), 0.0)
    present = present_frames(observations.detected, observations.boxes, times)
    return KeypointTracks(
        points=keypoints[..., :2],
        inverse_sigmas=certainty * _common_errors(confidence > 0),
        limb_directions=limb_directions(cue[..., :3]),
        limb_weights=limb_confidence(cue[..., 3]),
        seen=torch.as_tensor(observations.detected, dtype=torch.float32, device=device),
        present=torch.as_tensor(present, dtype=torch.float32, device=device),
        times=torch.as_tensor(times, dtype=torch.float32, device=device),
        focal=camera.focal,
        centre=camera.principal_point,
    )


def _common_errors(known: Tensor) -> Tensor:
    """[..., 133] factor of the certainties: however many points of a face or a hand are known, they err together."""
    factor = torch.ones_like(known, dtype=torch.float32)
    for points in _TOGETHER:
        count = known[..., points].sum(-1, keepdim=True)
        factor[..., points] = (_INDEPENDENT / count.clamp(min=_INDEPENDENT)).sqrt()
    return factor


def present_frames(visible: Bools, boxes: Floats, times: Floats) -> Bools:
    """[T, P] visible, or in a gap between two sightings that is short, or longer but behind somebody else.

    visible [T, P], boxes [T, P, 4] pixels, times [T] seconds.
    """
    present = visible.copy()
    for person in range(visible.shape[1]):
        seen = np.flatnonzero(visible[:, person])
        for before, after in itertools.pairwise(seen):
            hidden = all(_covered(boxes[k], visible[k], person) for k in (before, after))
            if times[after] - times[before] <= (LONGEST_HIDDEN if hidden else LONGEST_GAP):
                present[before:after, person] = True
    return present


def _covered(boxes: Floats, visible: Bools, person: int) -> bool:
    """Whether somebody else's box covers a good part of the person's; boxes [P, 4], visible [P]."""
    others = np.delete(boxes, person, axis=0)[np.delete(visible, person)]
    low, high = np.maximum(boxes[person, :2], others[:, :2]), np.minimum(boxes[person, 2:], others[:, 2:])
    common = np.prod((high - low).clip(min=0), axis=-1)
    return bool((common > _OVERLAP * np.prod(boxes[person, 2:] - boxes[person, :2])).any())


def best_seen_frames(evidence: KeypointTracks, count: int) -> Tensor:
    """One frame out of each of `count` equal parts of the clip: the one with the most keypoints."""
    seen = (evidence.inverse_sigmas[..., :17] > 0).float().mean(-1).sum(-1)  # [T]
    parts = torch.arange(len(seen), device=seen.device).tensor_split(min(count, len(seen)))
    return torch.stack([part[seen[part].argmax()] for part in parts])
