"""The motion of a pair as the output of the denoiser, whose weights are optimized (CloseApp 3.3, motion branch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from closemesh.body.capsules import capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
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
    PairBody,
    PairClip,
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
    """The motion of one pair over a window as a function of the denoiser's weights.

    The output of the bundled weights is subtracted, so that the motion starts unchanged.
    """

    def __init__(
        self, body: BodyModel, pair: tuple[int, int], parameters: MotionParameters, tracks: KeypointTracks
    ) -> None:
        """parameters: of all people over the frames of `tracks`. Raises ModelFileError without the denoiser."""
        device = parameters.pelvis_ray.device
        self._pair, self._before = list(pair), parameters.detached()
        clip = _pair_clip(self._before, tracks, self._pair)
        self._layout = window_layout(len(clip), device)
        self._windows = cut_windows(clip, self._layout)
        points = PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)).to(device)
        constant = constant_conditions(self._windows)
        conditions = constant | estimate_conditions(self._windows, self._windows.mean, points)
        self._conditions = {name: (values.detach(), known) for name, (values, known) in conditions.items()}
        self.denoiser: Denoiser = load_denoiser(device).requires_grad_(True)
        with torch.no_grad():
            self._offset = self._output()

    def __call__(self) -> MotionParameters:
        """The parameters of all people, those of the pair from the network's current weights."""
        mean, std = pack(self._windows.mean), pack_std(self._windows.std)
        state = unpack(mean + std * (self._output() - self._offset))
        merged = merge_windows(state, self._windows.view, self._layout, len(self._before.pelvis_ray))
        return _with_pair(self._before, self._pair, merged)

    def _output(self) -> Tensor:
        """x0 in standard deviations at the last sampling step, of the motion before."""
        windows, mean = self._windows, pack(self._windows.mean)
        step = torch.zeros(len(mean), dtype=torch.long, device=mean.device)
        x_t, times = torch.zeros_like(mean), windows.tracks.times
        return self.denoiser(x_t, mean, step, times, self._conditions, windows.masked, windows.unpaired)


def finetune_network(
    loss: Loss, motion: FinetunedMotion, phases: Sequence[Phase], iterations: int, advance: Advance
) -> MotionParameters:
    """The motion after fine-tuning in all phases."""
    optimizer = torch.optim.Adam(motion.denoiser.parameters(), lr=LEARNING_RATE)
    for phase in phases:
        for step in range(round(iterations * phase.fraction)):
            optimizer.zero_grad(set_to_none=True)
            loss(motion(), phase.weights, step).backward()
            optimizer.step()
            advance(1)
    with torch.no_grad():
        return motion().detached()


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


def _with_pair(parameters: MotionParameters, pair: list[int], state: PairState) -> MotionParameters:
    """The parameters with pose and place of the pair replaced; state [1, T, 2, ...] in the camera frame."""
    pelvis = state.pelvis[0]
    changes = {
        "root": matrix_to_6d(state.rotations[0, :, :, 0]),
        "body_pose": matrix_to_axis_angle(state.rotations[0, :, :, 1:]),
        "pelvis_ray": pelvis[..., :2] / pelvis[..., 2:],
        "log_depth": pelvis[..., 2].log(),
    }
    index = torch.tensor(pair, device=pelvis.device)
    return parameters.with_tensors(
        **{name: getattr(parameters, name).index_copy(1, index, value) for name, value in changes.items()}
    )
