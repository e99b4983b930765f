"""The motion of pairs as the output of the denoiser, whose weights are optimized (CloseApp 3.3, motion branch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from closemesh.body.capsules import capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.fitting.objective import POSE_PARAMETERS
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights, cosine_decay, parameter_groups
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle, rotation_6d_to_matrix
from closemesh.interaction_prior.diffusion import Denoiser, load_denoiser
from closemesh.interaction_prior.state import (
    NUM_BETAS,
    NUM_ROTATIONS,
    PairState,
    PairUncertainty,
    pack,
    pack_std,
    unpack,
)
from closemesh.interaction_prior.windows import (
    Conditions,
    PairBody,
    PairClip,
    PairWindows,
    WindowLayout,
    constant_conditions,
    cut_windows,
    estimate_conditions,
    merge_windows,
    pair_clip,
    window_layout,
)

LEARNING_RATE = 2e-5  # Step size of Adam on the network's weights, as in the paper.
BETAS_STD = 0.3

Loss = Callable[[MotionParameters, Weights, int], Tensor]


class FinetunedMotion:
    """The motion of all pairs over a window as a function of the denoiser's weights, which they have in common.

    The output of the bundled weights is subtracted, so that the motion starts unchanged. A person in several pairs gets
    the mean of their outputs; people in no pair keep their parameters as variables.
    """

    def __init__(
        self,
        body: BodyModel,
        pairs: Sequence[tuple[int, int]],
        parameters: MotionParameters,
        tracks: KeypointTracks,
    ) -> None:
        """pairs: at least one; parameters: of all people over the frames of `tracks`.

        Raises ModelFileError without the denoiser.
        """
        device = parameters.pelvis_ray.device
        self._pairs, self._before = [list(pair) for pair in pairs], parameters.detached()
        clips = [_pair_clip(self._before, tracks, pair) for pair in self._pairs]
        self.denoiser: Denoiser = load_denoiser(device).requires_grad_(True)
        self._layout = window_layout(len(tracks.times), device, self.denoiser.config.frames)
        self._windows = [cut_windows(clip, self._layout) for clip in clips]
        points = PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)).to(device)
        self._inputs = _concatenate([_inputs(windows, points) for windows in self._windows])
        self.free = _free_people(self._before, self._pairs)
        with torch.no_grad():
            self._offset = self._output()

    def __call__(self) -> MotionParameters:
        """The parameters of all people, those of the pairs from the network's current weights."""
        changes = (self._output() - self._offset).split([len(windows) for windows in self._windows])
        states = [
            _merged(windows, change, self._layout, len(self._before.pelvis_ray))
            for windows, change in zip(self._windows, changes, strict=True)
        ]
        parameters = _with_pairs(self._before, self._pairs, states)
        if not self.free.people:
            return parameters
        index = torch.tensor(self.free.people, device=self._offset.device)
        tensors = {name: getattr(parameters, name).index_copy(1, index, own) for name, own in self.free.tensors.items()}
        return parameters.with_tensors(**tensors)

    def _output(self) -> Tensor:
        """x0 in standard deviations at the last sampling step, of the motion before."""
        given = self._inputs
        step = torch.zeros(len(given.mean), dtype=torch.long, device=given.mean.device)
        x_t = torch.zeros_like(given.mean)
        return self.denoiser(x_t, given.mean, step, given.times, given.conditions, given.masked, given.unpaired)


@dataclass(frozen=True)
class _FreePeople:
    """People in no pair, and their parameters as variables."""

    people: list[int]
    tensors: dict[str, Tensor]  # [T, F, ...] by the name of the parameter


def _free_people(parameters: MotionParameters, pairs: Sequence[Sequence[int]]) -> _FreePeople:
    paired = {person for pair in pairs for person in pair}
    people = [person for person in range(parameters.log_depth.shape[1]) if person not in paired]
    return _FreePeople(
        people, {name: getattr(parameters, name)[:, people].clone().requires_grad_() for name in POSE_PARAMETERS}
    )


@dataclass(frozen=True)
class _Inputs:
    """What the denoiser gets besides noise."""

    mean: Tensor  # [B, T, 2, D]
    times: Tensor  # [B, T]
    conditions: Conditions
    masked: Tensor  # [B, T, 2] bool
    unpaired: Tensor  # [B] bool


def _inputs(windows: PairWindows, points: PairBody) -> _Inputs:
    conditions = constant_conditions(windows) | estimate_conditions(windows, windows.mean, points)
    constant = {name: (values.detach(), known) for name, (values, known) in conditions.items()}
    return _Inputs(pack(windows.mean), windows.tracks.times, constant, windows.masked, windows.unpaired)


def _concatenate(inputs: Sequence[_Inputs]) -> _Inputs:
    """The windows of all pairs as one batch."""
    tensors = {
        field.name: torch.cat([getattr(one, field.name) for one in inputs])
        for field in fields(_Inputs)
        if field.name != "conditions"
    }
    conditions = {}
    for name in inputs[0].conditions:
        values, known = zip(*(one.conditions[name] for one in inputs), strict=True)
        conditions[name] = (torch.cat(values), torch.cat(known))
    return _Inputs(**tensors, conditions=conditions)


def finetune_network(
    loss: Loss, motion: FinetunedMotion, phases: Sequence[Phase], iterations: int, advance: Advance
) -> MotionParameters:
    """The motion after fine-tuning in all phases."""
    weights = torch.optim.Adam(motion.denoiser.parameters(), lr=LEARNING_RATE)
    for phase in phases:
        steps = round(iterations * phase.fraction)
        optimizers = [weights]
        if motion.free.people:
            groups = parameter_groups(motion.free.tensors, phase.learning_rate)
            optimizers.append(torch.optim.Adam(groups, betas=(0.9, 0.99)))
        decays = [cosine_decay(optimizer, steps) for optimizer in optimizers[1:]]
        for step in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss(motion(), phase.weights, step).backward()
            for change in (*optimizers, *decays):
                change.step()
            advance(1)
    with torch.no_grad():
        return motion().detached()


def _merged(windows: PairWindows, change: Tensor, layout: WindowLayout, length: int) -> PairState:
    """The pair [1, T, 2, ...] in the camera frame after a change [B, T, 2, D] in standard deviations."""
    state = unpack(pack(windows.mean) + pack_std(windows.std) * change)
    return merge_windows(state, windows.view, layout, length)


def _pair_clip(parameters: MotionParameters, tracks: KeypointTracks, pair: list[int]) -> PairClip:
    rotations = parameters.rotations()[None, :, pair, :NUM_ROTATIONS]
    betas = parameters.betas[pair, :NUM_BETAS].expand(1, len(parameters.pelvis_ray), -1, -1)
    pelvis = parameters.pelvis()[None, :, pair]
    depth = pelvis[..., 2:] * SIGMAS.refined_depth
    std = PairUncertainty(
        rotation_std=torch.full_like(rotations[..., 0, 0], SIGMAS.refined_rotation),
        betas_std=torch.full_like(betas, BETAS_STD),
        pelvis_std=torch.cat([depth / 3, depth / 3, depth], dim=-1),
    )
    return pair_clip(tracks, pair, PairState(rotations, betas, pelvis), std)


def _with_pairs(
    parameters: MotionParameters, pairs: Sequence[Sequence[int]], states: Sequence[PairState]
) -> MotionParameters:
    """The parameters with pose and place of all pairs replaced; states [1, T, 2, ...] in the camera frame."""
    people = sorted({person for pair in pairs for person in pair})
    index = torch.tensor(people, device=parameters.log_depth.device)
    rotations, pelvis = [], []
    for person in people:
        own = [(state, pair.index(person)) for pair, state in zip(pairs, states, strict=True) if person in pair]
        rotations.append(torch.stack([matrix_to_6d(state.rotations[0, :, k]) for state, k in own]).mean(0))
        pelvis.append(torch.stack([state.pelvis[0, :, k] for state, k in own]).mean(0))
    rotation, place = rotation_6d_to_matrix(torch.stack(rotations, 1)), torch.stack(pelvis, 1)
    changes = {
        "root": matrix_to_6d(rotation[:, :, 0]),
        "body_pose": matrix_to_axis_angle(rotation[:, :, 1:]),
        "pelvis_ray": place[..., :2] / place[..., 2:],
        "log_depth": place[..., 2].log(),
    }
    return parameters.with_tensors(
        **{name: getattr(parameters, name).index_copy(1, index, value) for name, value in changes.items()}
    )
