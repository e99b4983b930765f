"""What is told of everybody, as an energy of the last stage: it decides what no keypoint shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.capsules import NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference
from closemesh.fitting.optimizer import TEXT, Weights, minimize
from closemesh.interaction_prior.guidance import neighbours
from closemesh.text.losses import active_mask, statement_loss
from closemesh.text.predicates import PoseFeatures
from closemesh.text.statements import TimedStatement, select_people

UNSEEN = 10.0  # How much looser limbs are that no keypoint shows, of people of whom something is told.
FIRM = 0.5  # How much firmer people are held who are as they are told.
ENOUGH = 8  # Sure statements about a person in a frame that make a whole description.
_BROKEN = 0.5  # Squared sigmas of each statement, on average, up to which a description is fulfilled.
SMOOTH = 0.1  # Seconds, the standard deviation of the bell over which what words change is smoothed.
_MOVES = {
    "shoulder": ("elbow", "wrist"),
    "elbow": ("wrist",),
    "wrist": ("wrist",),
    "hip": ("knee", "ankle"),
    "knee": ("ankle",),
    "ankle": ("ankle",),
}
"""Joints of the limbs, and the keypoints that show how each is turned."""

Loss = Callable[[MotionParameters, Weights, int], Tensor]


@dataclass(frozen=True)
class TextObjective:
    """Statements, parted by whom they are about, over T frames."""

    told: tuple[tuple[TimedStatement, ...], ...]
    up: Tensor  # [T, 3] unit vectors against gravity, cam
    capsules: CapsuleBody

    def frames(self, index: slice | Tensor) -> TextObjective:
        """The same in some of the frames."""
        return replace(self, up=self.up[index])

    def loss(self, posed: PosedLandmarks, evidence: KeypointTracks, weights: Weights) -> Tensor:
        """Weighted energy of all that is told, where those whom it is about are there, as one number."""
        figures = PoseFeatures(posed.keypoints[..., :NUM_POINTS, :], self.up, self.capsules)
        total = self.up.new_zeros(())
        for told in self.told:
            there = evidence.present[:, list(told[0].statement.people)].amin(-1)
            total = total + (statement_loss(told, figures, evidence.times) * there).sum()
        return weights.told * total

    def adjust_reference(self, anchor: PoseReference, evidence: KeypointTracks, posed: PosedLandmarks) -> PoseReference:
        """The anchor of those who are spoken of: firmer where they are as they are told, else looser in hidden limbs.

        Who is as a whole description has him was brought there before, and knows more than the keypoints.
        """
        spread = anchor.rotation_spread.clone()
        unseen, fulfilled = unseen_joints(evidence), self._fulfilled(posed, evidence.times)
        for person in sorted({person for told in self.told for person in told[0].statement.people}):
            mine = [one for told in self.told for one in told if person in one.statement.people]
            pulls = torch.tensor([one.weight for one in mine], device=spread.device)[:, None]
            pulled = (pulls * active_mask(mine, evidence.times)).sum(0)  # [T]
            firm = (pulled > ENOUGH) & fulfilled[:, person]
            loose = unseen[:, person] & ((pulled > 0) & ~firm)[:, None]
            factor = torch.where(firm[:, None], FIRM, torch.where(loose, UNSEEN, 1.0))
            spread[:, person] = anchor.rotation_spread[:, person] * factor
        return replace(anchor, rotation_spread=spread)

    def _fulfilled(self, posed: PosedLandmarks, times: Tensor) -> Tensor:
        """[T, P] whether what is told of each person holds but for a few of its statements."""
        figures = PoseFeatures(posed.keypoints[..., :NUM_POINTS, :].detach(), self.up, self.capsules)
        violated = self.up.new_zeros(figures.keypoints.shape[:2])
        pulls = torch.zeros_like(violated)
        for told in self.told:
            people = list(told[0].statement.people)
            violated[:, people] += statement_loss(told, figures, times)[:, None]
            pull = torch.tensor([one.weight for one in told], device=times.device)[:, None] * active_mask(told, times)
            pulls[:, people] += pull.sum(0)[:, None]
        return violated < _BROKEN * pulls


def text_objective(
    told: Sequence[TimedStatement], people: int, up_cam: Floats, body: BodyModel, device: torch.device
) -> TextObjective | None:
    """What is told of the first so many people; None when nothing is. up_cam [T, 3]."""
    about = select_people(told, tuple(range(people)))
    groups = sorted({one.statement.people for one in about})
    if not groups:
        return None
    parted = tuple(tuple(one for one in about if one.statement.people == group) for group in groups)
    up = torch.nn.functional.normalize(torch.as_tensor(up_cam, dtype=torch.float32, device=device), dim=-1)
    return TextObjective(parted, up, capsule_body(body).to(device))


def apply_text(
    loss: Loss, variables: MotionParameters, times: Tensor, iterations: int, advance: Advance
) -> MotionParameters:
    """The variables with limbs and trunk moved to where the words have them, frame by frame; times [T] seconds.

    Where people are and which way they face is left to the stages before: too much hangs on it.
    """
    steps, rate = round(iterations * TEXT.fraction), TEXT.learning_rate

    def by_words(v: MotionParameters, step: int) -> Tensor:
        return loss(v, TEXT.weights, step)

    after = minimize(variables, by_words, iterations=steps, learning_rate=rate, free=("body_pose",), advance=advance)
    change = torch.einsum("ts,spjd->tpjd", neighbours(times[None], SMOOTH)[0], after.body_pose - variables.body_pose)
    return variables.with_tensors(body_pose=variables.body_pose + change)


def unseen_joints(evidence: KeypointTracks) -> Tensor:
    """[T, P, 22] bool: joints of the limbs that no keypoint shows the turn of."""
    shown = evidence.inverse_sigmas > 0
    unseen = torch.zeros(*evidence.present.shape, 22, dtype=torch.bool, device=shown.device)
    for side in ("left", "right"):
        for joint, points in _MOVES.items():
            index = [KEYPOINT_INDEX[f"{side}_{point}"] for point in points]
            unseen[..., JOINT_INDEX[f"{side}_{joint}"]] = ~shown[..., index].any(-1)
    return unseen
