"""Statements in the joint objective: they constrain what no keypoint shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from closemesh.body.capsules import NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.core.progress import Advance
from closemesh.core.tensor_dataclass import TensorDataclass, static
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference
from closemesh.fitting.optimizer import TEXT, Weights, minimize
from closemesh.interaction_prior.guidance import smoothing_weights
from closemesh.text.losses import active_mask, statement_loss
from closemesh.text.pose_features import PoseFeatures
from closemesh.text.statements import TimedStatement, select_people

# Factor on the standard deviation of the reference of undetected limbs of a person who violates statements.
OCCLUDED_STD_FACTOR = 10.0
# Factor on the standard deviation of the reference of a person who fulfills a complete description.
FULFILLED_STD_FACTOR = 0.2
COMPLETE = 8  # Statements of weight 1 about a person in a frame that make a complete description.
_FULFILLED = 0.5  # Mean squared sigmas of each statement up to which a description is fulfilled.
SMOOTHING_SECONDS = 0.1  # Standard deviation of the smoothing of what statements change.
_VISIBLE_BY = {
    "shoulder": ("elbow", "wrist"),
    "elbow": ("wrist",),
    "wrist": ("wrist",),
    "hip": ("knee", "ankle"),
    "knee": ("ankle",),
    "ankle": ("ankle",),
}
"""Joints of the limbs, and the keypoints that show their rotation."""

Loss = Callable[[MotionParameters, Weights, int], Tensor]


@dataclass(frozen=True)
class TextObjective(TensorDataclass):
    """Statements, grouped by the people that they are about, over T frames."""

    groups: tuple[tuple[TimedStatement, ...], ...]
    up: Tensor  # [T, 3] unit vectors against gravity, cam
    capsules: CapsuleBody = field(metadata=static())

    def above(self, floor: Tensor) -> TextObjective:
        """The same with the normal of floor [4], camera frame, as the vertical of all frames."""
        return replace(self, up=floor[:3].to(self.up).expand_as(self.up))

    def loss(self, posed: PosedLandmarks, tracks: KeypointTracks, weights: Weights) -> Tensor:
        """Weighted loss [] of all statements in the frames in which their people are present."""
        features = PoseFeatures(posed.keypoints[..., :NUM_POINTS, :], self.up, self.capsules)
        total = self.up.new_zeros(())
        for group in self.groups:
            present = tracks.present[:, list(group[0].statement.people)].all(-1)
            total = total + (statement_loss(group, features, tracks.times) * present).sum()
        return weights.text * total

    def adjust_reference(
        self, reference: PoseReference, tracks: KeypointTracks, posed: PosedLandmarks
    ) -> PoseReference:
        """The reference of people with statements: smaller std where they hold, larger in hidden limbs where not.

        A person who fulfills a complete description was brought there by it, and the reference is better than the
        keypoints of occluded joints. Where few statements hold, the reference keeps what they gained.
        """
        std = reference.rotation_std.clone()
        hidden, fulfilled = hidden_joints(tracks), self._fulfilled(posed, tracks.times)
        for person in sorted({person for group in self.groups for person in group[0].statement.people}):
            own = [one for group in self.groups for one in group if person in one.statement.people]
            weights = torch.tensor([one.weight for one in own], device=std.device)[:, None]
            active = (weights * active_mask(own, tracks.times)).sum(0)  # [T]
            firm = (active > COMPLETE) & fulfilled[:, person]
            loose = hidden[:, person] & ((active > 0) & ~fulfilled[:, person])[:, None]
            factor = torch.where(firm[:, None], FULFILLED_STD_FACTOR, torch.where(loose, OCCLUDED_STD_FACTOR, 1.0))
            std[:, person] = reference.rotation_std[:, person] * factor
        return replace(reference, rotation_std=std)

    def _fulfilled(self, posed: PosedLandmarks, times: Tensor) -> Tensor:
        """[T, P] bool: the statements about each person hold but for a few of them."""
        features = PoseFeatures(posed.keypoints[..., :NUM_POINTS, :].detach(), self.up, self.capsules)
        violation = self.up.new_zeros(features.keypoints.shape[:2])
        total = torch.zeros_like(violation)
        for group in self.groups:
            people = list(group[0].statement.people)
            violation[:, people] += statement_loss(group, features, times)[:, None]
            weights = torch.tensor([one.weight for one in group], device=times.device)[:, None]
            total[:, people] += (weights * active_mask(group, times)).sum(0)[:, None]
        return violation < _FULFILLED * total


def text_objective(
    text: Sequence[TimedStatement], num_people: int, up_cam: Floats, body: BodyModel, device: torch.device
) -> TextObjective | None:
    """The objective of the statements about the people 0..num_people; None without statements. up_cam [T, 3]."""
    about = select_people(text, tuple(range(num_people)))
    people = sorted({one.statement.people for one in about})
    if not people:
        return None
    groups = tuple(tuple(one for one in about if one.statement.people == group) for group in people)
    up = torch.nn.functional.normalize(torch.as_tensor(up_cam, dtype=torch.float32, device=device), dim=-1)
    return TextObjective(groups, up, capsule_body(body).to(device))


def apply_text(
    loss: Loss, parameters: MotionParameters, times: Tensor, iterations: int, advance: Advance
) -> MotionParameters:
    """The parameters with limbs and trunk moved towards the statements, frame by frame; times [T] seconds.

    Place and heading are fixed: too many other terms depend on them.
    """
    after = minimize(
        parameters,
        lambda p, step: loss(p, TEXT.weights, step),
        iterations=round(iterations * TEXT.fraction),
        learning_rate=TEXT.learning_rate,
        free=("body_pose",),
        advance=advance,
    )
    weights = smoothing_weights(times[None], SMOOTHING_SECONDS)[0]
    change = torch.einsum("ts,spjd->tpjd", weights, after.body_pose - parameters.body_pose)
    return parameters.with_tensors(body_pose=parameters.body_pose + change)


def hidden_joints(tracks: KeypointTracks) -> Tensor:
    """[T, P, 22] bool: joints of the limbs whose rotation no keypoint shows."""
    detected = tracks.inv_sigma > 0
    hidden = torch.zeros(*tracks.present.shape, 22, dtype=torch.bool, device=detected.device)
    for side in ("left", "right"):
        for joint, points in _VISIBLE_BY.items():
            index = [KEYPOINT_INDEX[f"{side}_{point}"] for point in points]
            hidden[..., JOINT_INDEX[f"{side}_{joint}"]] = ~detected[..., index].any(-1)
    return hidden
