"""The motion branch as the paper has it: not the motion is optimised but the denoiser that tells it (CloseApp 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from closemesh.body.capsules import capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
from closemesh.interaction_prior.diffusion import Denoiser, load_denoiser
from closemesh.interaction_prior.state import NUM_BETAS, NUM_ROTATIONS, PairSpread, PairState, pack, pack_spread, unpack
from closemesh.interaction_prior.windows import (
    NUM_POINTS,
    PairBody,
    PairClip,
    PairWindows,
    WindowLayout,
    clip_of,
    constant_conditions,
    estimate_conditions,
    merge_windows,
    window_layout,
    windows_of,
)

RATE = 2e-5  # Of Adam on the network's weights, as in the paper.
BETAS_SPREAD = 0.3

Loss = Callable[[MotionParameters, Weights, int], Tensor]


class FinetunedMotion:
    """The motion of one pair over a window as what a network says, which its weights can be changed to say otherwise.

    The untouched network's words are taken away, so that the motion begins where it is.
    """

    def __init__(
        self, body: BodyModel, pair: tuple[int, int], variables: MotionParameters, evidence: KeypointTracks
    ) -> None:
        device = variables.pelvis_ray.device
        self._pair, self._before = list(pair), variables.detached()
        clip = _pair_clip(self._before, evidence, self._pair)
        self._cut: WindowLayout = window_layout(len(clip), device)
        self._windows: PairWindows = windows_of(clip, self._cut)
        points = PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)).to(device)
        told = constant_conditions(self._windows) | estimate_conditions(self._windows, self._windows.mean, points)
        self._told = {name: (values.detach(), known) for name, (values, known) in told.items()}
        self.denoiser: Denoiser = load_denoiser(device).requires_grad_(True)
        with torch.no_grad():
            self._first = self._say()

    def __call__(self) -> MotionParameters:
        """The variables of everybody, those of the pair by the network's present weights."""
        mean, spread = pack(self._windows.mean), pack_spread(self._windows.spread)
        said = unpack(mean + spread * (self._say() - self._first))
        return _with_pair(self._before, self._pair, merge_windows(said, self._windows.view, self._cut, self._frames()))

    def _say(self) -> Tensor:
        """x0 in spreads at the last step of the sampling, of the motion as it is."""
        mean = pack(self._windows.mean)
        step = torch.zeros(len(mean), dtype=torch.long, device=mean.device)
        given = self._windows.times, self._told, self._windows.hidden, self._windows.alone
        return self.denoiser(torch.zeros_like(mean), mean, step, *given)

    def _frames(self) -> int:
        return len(self._before.pelvis_ray)


def refine_by_network(
    loss: Loss, motion: FinetunedMotion, phases: Sequence[Phase], iterations: int, advance: Advance
) -> MotionParameters:
    """The motion after fine-tuning through the phases."""
    optimiser = torch.optim.Adam(motion.denoiser.parameters(), lr=RATE)
    for phase in phases:
        for step in range(round(iterations * phase.fraction)):
            optimiser.zero_grad(set_to_none=True)
            loss(motion(), phase.weights, step).backward()
            optimiser.step()
            advance(1)
    with torch.no_grad():
        return motion().detached()


def _pair_clip(variables: MotionParameters, evidence: KeypointTracks, pair: list[int]) -> PairClip:
    rotations = variables.rotations()[None, :, pair, :NUM_ROTATIONS]
    betas = variables.betas[pair, :NUM_BETAS].expand(1, len(variables.pelvis_ray), -1, -1)
    pelvis = variables.pelvis()[None, :, pair]
    depth = pelvis[..., 2:] * SIGMAS.refined_depth
    spread = PairSpread(
        rotations=torch.full_like(rotations[..., 0, 0], SIGMAS.refined_turn),
        betas=torch.full_like(betas, BETAS_SPREAD),
        pelvis=torch.cat([depth / 3, depth / 3, depth], dim=-1),
    )
    return clip_of(evidence, pair, PairState(rotations, betas, pelvis), spread)


def _with_pair(variables: MotionParameters, pair: list[int], state: PairState) -> MotionParameters:
    """The variables with the pair's poses and places replaced; state [1, T, 2, ...] in the camera frame."""
    pelvis = state.pelvis[0]
    changes = {
        "root": matrix_to_6d(state.rotations[0, :, :, 0]),
        "body_pose": matrix_to_axis_angle(state.rotations[0, :, :, 1:]),
        "pelvis_ray": pelvis[..., :2] / pelvis[..., 2:],
        "log_depth": pelvis[..., 2].log(),
    }
    place = torch.tensor(pair, device=pelvis.device)
    return variables.with_tensors(
        **{name: getattr(variables, name).index_copy(1, place, value) for name, value in changes.items()}
    )
