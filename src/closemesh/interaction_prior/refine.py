"""Stage `refine`: close pairs refined by two-person diffusion (CloseInt), and blended into one motion per person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.capsules import capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import pelvis_of, transl_of
from closemesh.config.schema import Config
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.interaction_prior.codebook import Codebook, load_codebook
from closemesh.interaction_prior.diffusion import Guide, Sampler, cosine_schedule, load_denoiser, sample
from closemesh.interaction_prior.guidance import (
    Energy,
    GuidanceConfig,
    PhysicsEnergy,
    TextGuidance,
    guide_by_codebook,
    guide_by_energies,
    reprojection_energy,
)
from closemesh.interaction_prior.masking import hidden_frames, interpolate_hidden, widen_std
from closemesh.interaction_prior.state import NUM_BETAS, NUM_ROTATIONS, PairState, PairUncertainty, pack, unpack
from closemesh.interaction_prior.windows import (
    PairBody,
    PairClip,
    PairWindows,
    cut_windows,
    merge_windows,
    pair_clip,
    synchronize_windows,
    window_layout,
)
from closemesh.structures import BodyMotion, ObservedClip, PoseUncertainty
from closemesh.temporal import find_runs, low_pass_weights
from closemesh.text.alignment import PoseTextModel, load_alignment
from closemesh.text.statements import TimedStatement, select_people

MIN_ROTATION_STD, MIN_PELVIS_STD, MIN_BETAS_STD = 0.03, 0.01, 0.05  # Radians, meters; smaller ones are clamped.
MAX_PAIR_DISTANCE = 0.5  # Meters between the surfaces of two people who are refined as a pair.
_MIN_DEPTH = 0.1  # Meters; what is generated without detections may end up behind the camera.
FADE_FRAMES = 12  # Frames over which the refinement fades in and out.
CUTOFF = 4.0  # Hz, of the refined motion; what is faster is mostly jitter of the keypoints.


@dataclass(frozen=True)
class Prior:
    """The networks and bodies of the stage, and the guidance."""

    sampler: Sampler
    codebook: Codebook | None
    meshes: BodyModel
    guidance: GuidanceConfig
    cross_attention: bool
    alignment: PoseTextModel | None = None
    """For guidance by all statements about a person at once."""


def load_prior(body: BodyModel, config: Config, device: torch.device) -> Prior:
    """The bundled networks. Raises ModelFileError when one is missing or damaged."""
    pair_body = PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)).to(device)
    use_projection = config.refine.projection_condition
    sampler = Sampler(load_denoiser(device), cosine_schedule().to(device), pair_body, use_projection)
    codebook = load_codebook(device) if config.refine.codebook else None
    guidance = GuidanceConfig(steps=config.refine.guidance_steps)
    if not config.language.statements:
        guidance = replace(guidance, text=0.0)
    if not config.refine.physics:
        guidance = replace(guidance, penetration=0.0, contact=0.0)
    meshes = watertight_body(body, "coarse").to(device)
    return Prior(sampler, codebook, meshes, guidance, config.refine.cross_attention)


def refine(
    observed: ObservedClip,
    motion: BodyMotion,
    uncertainty: PoseUncertainty,
    body: BodyModel,
    config: Config,
    device: torch.device,
    progress: Progress,
    text: Sequence[TimedStatement] = (),
) -> BodyMotion:
    """The motion, camera frame, with people who come close refined in pairs; the others are unchanged.

    A person who is not detected for a while is generated from the other one, starting from a straight line between what
    is seen before and after the gap. A person in two pairs gets the mean of both. Statements in `text` about a pair or
    about one of its people guide the sampling. Raises ModelFileError when a network is missing or damaged.
    """
    if not config.refine.prior:
        if text:
            progress.note("without the prior, statements act in the last stage alone")
        return motion
    tracks = KeypointTracks.from_observations(observed.observations, observed.clip.times, observed.camera, device)
    blender = PairBlender(motion, uncertainty, body, tracks)
    pairs = find_close_pairs(motion, body, MAX_PAIR_DISTANCE, uncertainty.pelvis_std[..., 2])
    prior = load_prior(body, config, device) if pairs else None
    if prior and text and config.language.alignment:
        prior = replace(prior, alignment=load_alignment(device))
    if text and not pairs:
        progress.note("no two people come close to each other: statements act in the last stage alone")
    with progress.task("refine", sum(int(close.sum()) for *_, close in pairs)) as advance:
        for a, b, close in pairs:
            assert prior is not None
            statements = select_people(text, (a, b))
            present = motion.valid[:, a] & motion.valid[:, b]
            for frames, weight in close_intervals(close, present, config.refine.max_frames):
                state, std = blender.pair(a, b, frames)
                clip = pair_clip(tracks.frames(frames), (a, b), state, std, blender.hidden[frames])
                up = torch.as_tensor(observed.camera.up[frames], device=device)
                refined = refine_interval(prior, clip, TextGuidance(statements, up) if statements else None)
                blender.add(a, b, frames, refined, torch.as_tensor(weight, device=device))
                advance(int(close[frames].sum()))
    return blender.motion()


def refined_people(before: BodyMotion, after: BodyMotion) -> frozenset[int]:
    """The people who differ between the motions before and after the stage: those of a pair that was refined."""
    changed = (before.rotations != after.rotations).any((0, 2, 3, 4)) | (before.transl != after.transl).any((0, 2))
    return frozenset(np.flatnonzero(changed).tolist())


def close_intervals(close: Bools, present: Bools, max_frames: int) -> Iterator[tuple[slice, Floats]]:
    """Intervals of frames in which two people are close, or will be soon, with a weight [t] for each frame.

    close [T] and present [T]. A weight falls to 0 within FADE_FRAMES of the close frames. Intervals of more than
    `max_frames` are split into crossfaded ones.
    """
    frames = np.arange(len(close))
    if not close.any():
        return
    distance = np.abs(frames[:, None] - frames[close]).min(1)
    weight = np.clip(1 - distance / (FADE_FRAMES + 1), 0, 1).astype(np.float32) * present
    for run in find_runs(weight > 0):
        start, end = run.start, run.stop
        for first in range(start, max(end - FADE_FRAMES, start + 1), max_frames - FADE_FRAMES):
            last = min(first + max_frames, end)
            fade = np.ones(last - first, np.float32)
            if first > start:
                fade[:FADE_FRAMES] = np.linspace(0, 1, FADE_FRAMES + 2)[1:-1]
            if last < end:
                fade[-FADE_FRAMES:] = np.minimum(fade[-FADE_FRAMES:], np.linspace(1, 0, FADE_FRAMES + 2)[1:-1])
            yield slice(first, last), weight[first:last] * fade


def refine_interval(prior: Prior, clip: PairClip, text: TextGuidance | None = None) -> PairState:
    """The refined pair [1, T, 2, ...] in the camera frame; windows with common frames agree after every step.

    Both people pass the same low-pass filter: what they have in common stays.
    """
    times = clip.tracks.times
    layout = window_layout(len(clip), times.device, prior.sampler.denoiser.config.frames)
    windows = cut_windows(clip, layout)
    text = text and text.windows(layout)
    if not prior.cross_attention:
        windows = replace(windows, unpaired=torch.ones_like(windows.unpaired))
    if text is not None and prior.guidance.text > 0:
        windows = text.condition(windows)
    guides: list[Guide] = []
    if prior.codebook is not None:
        guides.append(guide_by_codebook(prior.codebook, windows, prior.guidance))
    guides.append(_energy_guide(prior, windows, text))
    guides.append(lambda state, _: synchronize_windows(state, windows.view, layout, len(clip)))
    refined = sample(prior.sampler, windows, guides)
    merged = pack(merge_windows(refined, windows.view, layout, len(clip)))
    return unpack(torch.einsum("ts,bspd->btpd", low_pass_weights(times, CUTOFF), merged))


def _energy_guide(prior: Prior, windows: PairWindows, text: TextGuidance | None) -> Guide:
    guidance = prior.guidance
    energies: list[Energy] = [reprojection_energy(windows, prior.sampler.body, guidance.reprojection)]
    if text is not None:
        guidance = replace(guidance, steps=guidance.text_step_factor * guidance.steps)
        if guidance.text > 0:
            energies.append(text.statement_energy(windows, prior.sampler.body, guidance.text))
        if prior.alignment is not None:
            energies.append(text.alignment_energy(windows, prior.alignment, guidance.alignment))
    physics = None
    if guidance.penetration > 0 or guidance.contact > 0:
        physics = PhysicsEnergy(prior.meshes, guidance.penetration, guidance.contact)
    return guide_by_energies(windows, energies, physics, guidance)


class PairBlender:
    """The motion before refinement, and the weighted sum of the refined pairs."""

    def __init__(
        self, motion: BodyMotion, uncertainty: PoseUncertainty, body: BodyModel, tracks: KeypointTracks
    ) -> None:
        device = tracks.times.device

        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device)

        frames = len(motion.transl)
        betas = tensor(motion.betas)
        # As PairState with all people in the place of the two.
        initial = PairState(
            rotations=tensor(motion.rotations[:, :, :NUM_ROTATIONS])[None],
            betas=betas[:, :NUM_BETAS].expand(1, frames, -1, -1),
            pelvis=pelvis_of(body.to(device), betas, tensor(motion.transl))[None],
        )
        betas_std = tensor(uncertainty.betas_std)[:, :NUM_BETAS].clamp(min=MIN_BETAS_STD)
        std = PairUncertainty(
            rotation_std=tensor(uncertainty.rotation_std).clamp(min=MIN_ROTATION_STD)[None],
            betas_std=betas_std.expand(1, frames, -1, -1),
            pelvis_std=tensor(uncertainty.pelvis_std).clamp(min=MIN_PELVIS_STD)[None],
        )
        self.hidden = hidden_frames(tracks.detected, tracks.present)  # [T, P]
        # What the lifter predicts without detections may be meters away.
        self._initial = interpolate_hidden(initial, self.hidden[None], tracks.times[None])
        self._std = widen_std(std, self.hidden[None], tracks.times[None])
        self._body, self._motion = body.to(device), motion
        self._sum = torch.zeros_like(pack(self._initial)[0])  # [T, P, STATE_WIDTH]
        self._weight = torch.zeros_like(self._sum[..., :1])
        self._strengths: dict[tuple[int, int], Tensor] = {}  # [T, P, 1] of each pair

    def pair(self, a: int, b: int, frames: slice) -> tuple[PairState, PairUncertainty]:
        """Initial motion and uncertainty of two of the people over some frames, camera frame."""
        return self._initial.frames(frames).people([a, b]), self._std.frames(frames).people([a, b])

    def add(self, a: int, b: int, frames: slice, refined: PairState, weight: Tensor) -> None:
        """Adds the refined pair over these frames; weight [t] 0..1, which adds up where intervals of a pair overlap."""
        weight = weight[:, None, None]
        self._sum[frames, [a, b]] += weight * pack(refined)[0]
        self._weight[frames, [a, b]] += weight
        strength = self._strengths.setdefault((a, b), torch.zeros_like(self._weight))
        strength[frames, [a, b]] += weight

    def motion(self) -> BodyMotion:
        """The motion of all people: the mean of their refined pairs, else the initial motion; one shape per person.

        It is refined as strongly as the pair with most weight.
        """
        initial = pack(self._initial)[0]
        mean = torch.where(self._weight > 0, self._sum / self._weight.clamp(min=1e-6), initial)
        strength = torch.zeros_like(self._weight)
        for of_pair in self._strengths.values():
            strength = torch.maximum(strength, of_pair.clamp(max=1))
        betas, weight = self._betas(), self._weight.sum(0)  # [P, 1]
        mean_betas = (self._sum[..., -3 - NUM_BETAS : -3]).sum(0) / weight.clamp(min=1e-6)
        betas[:, :NUM_BETAS] = torch.where(weight > 0, mean_betas, betas[:, :NUM_BETAS])
        return self._with_state(torch.lerp(initial, mean, strength), betas, weight[:, 0] > 0)

    def _betas(self) -> Tensor:
        """[P, B] of the motion, to be changed."""
        return torch.as_tensor(self._motion.betas, dtype=torch.float32, device=self._sum.device).clone()

    def _with_state(self, packed: Tensor, betas: Tensor, people: Tensor) -> BodyMotion:
        """The motion with packed [T, P, STATE_WIDTH] and betas [P, B] of some people [P]; others keep every digit."""
        turned = rotation_6d_to_matrix(packed[..., : NUM_ROTATIONS * 6].unflatten(-1, (NUM_ROTATIONS, 6)))
        pelvis = torch.cat([packed[..., -3:-1], packed[..., -1:].clamp(min=_MIN_DEPTH)], dim=-1)
        moved = transl_of(self._body, betas, pelvis)
        changed = people.cpu().numpy()
        rotations, transl = self._motion.rotations.copy(), self._motion.transl.copy()
        rotations[:, changed, :NUM_ROTATIONS] = turned.cpu().numpy()[:, changed]
        transl[:, changed] = moved.cpu().numpy()[:, changed]
        return self._motion.with_pose(rotations=rotations, transl=transl, betas=betas.cpu().numpy())
