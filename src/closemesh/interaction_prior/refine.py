"""The stage, pair intervals, blending of pairs.

Everybody's motion in the terms of the prior, and many refined pairs back into one motion for each person.

Stage three: pairs that come close, refined together by the diffusion over what two people do (CloseInt).
"""

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
from closemesh.config.schema import LanguageConfig, RefineConfig
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_tracks import KeypointTracks, make_evidence
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
    neighbours,
    reprojection_energy,
)
from closemesh.interaction_prior.state import NUM_BETAS, NUM_ROTATIONS, PairSpread, PairState, pack, unpack
from closemesh.interaction_prior.windows import (
    NUM_POINTS,
    PairBody,
    PairClip,
    PairWindows,
    clip_of,
    merge_windows,
    synchronize_windows,
    window_layout,
    windows_of,
)
from closemesh.structures import BodyMotion, ObservedClip, PoseUncertainty
from closemesh.temporal import find_runs
from closemesh.text.alignment import PoseTextModel, load_alignment
from closemesh.text.statements import TimedStatement, select_people

SMALLEST_TURN, SMALLEST_MOVE, SMALLEST_BETA = 0.03, 0.01, 0.05  # Radians, metres; smaller spreads mean nothing.


class PairBlender:
    """The motion that is refined, and the sum of what the pairs say of it."""

    def __init__(self, motion: BodyMotion, spread: PoseUncertainty, body: BodyModel, device: torch.device) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32, device=device)

        frames = len(motion.transl)
        betas = tensor(motion.betas)
        # As PairState with all people in the place of the two.
        self.initial = PairState(
            rotations=tensor(motion.rotations[:, :, :NUM_ROTATIONS])[None],
            betas=betas[:, :NUM_BETAS].expand(1, frames, -1, -1),
            pelvis=pelvis_of(body.to(device), betas, tensor(motion.transl))[None],
        )
        self.spread = PairSpread(
            rotations=tensor(spread.rotation_std).clamp(min=SMALLEST_TURN)[None],
            betas=tensor(spread.betas_std)[:, :NUM_BETAS].clamp(min=SMALLEST_BETA).expand(1, frames, -1, -1),
            pelvis=tensor(spread.pelvis_std).clamp(min=SMALLEST_MOVE)[None],
        )
        self._body, self._motion = body.to(device), motion
        self._sum = torch.zeros_like(pack(self.initial)[0])  # [T, P, STATE_WIDTH]
        self._weight = torch.zeros_like(self._sum[..., :1])
        self._strength = torch.zeros_like(self._weight)

    def pair(self, a: int, b: int, frames: slice) -> tuple[PairState, PairSpread]:
        """Two of the people over some frames, camera frame."""
        chosen = [a, b]
        spread = PairSpread(*(value[:, frames, chosen] for value in vars(self.spread).values()))
        return self.initial.map(lambda value: value[:, frames][:, :, chosen]), spread

    def add(self, a: int, b: int, frames: slice, refined: PairState, weight: Tensor) -> None:
        """What the pair says of both over these frames; weight [t] 0..1."""
        weight = weight[:, None, None]
        self._sum[frames, [a, b]] += weight * pack(refined)[0]
        self._weight[frames, [a, b]] += weight
        self._strength[frames, [a, b]] = torch.maximum(self._strength[frames, [a, b]], weight)

    def motion(self) -> BodyMotion:
        """The motion of everybody: the mean of what all pairs say, where they say something; one shape a person."""
        initial = pack(self.initial)[0]
        mean = torch.where(self._weight > 0, self._sum / self._weight.clamp(min=1e-6), initial)
        merged = torch.lerp(initial, mean, self._strength)
        turned = rotation_6d_to_matrix(merged[..., : NUM_ROTATIONS * 6].unflatten(-1, (NUM_ROTATIONS, 6)))
        betas = torch.as_tensor(self._motion.betas, dtype=torch.float32, device=initial.device).clone()
        told = self._weight.sum(0)  # [P, 1]
        of_pairs = (self._sum[..., -3 - NUM_BETAS : -3]).sum(0) / told.clamp(min=1e-6)
        betas[:, :NUM_BETAS] = torch.where(told > 0, of_pairs, betas[:, :NUM_BETAS])
        transl = transl_of(self._body, betas, merged[..., -3:])
        rotations = self._motion.rotations.copy()
        rotations[:, :, :NUM_ROTATIONS] = turned.cpu().numpy()
        return self._motion.with_pose(rotations=rotations, transl=transl.cpu().numpy(), betas=betas.cpu().numpy())


REACH = 0.5  # Metres between two people's surfaces from which they are a pair.
LEAD = 12  # Frames over which the refinement fades in and out.
SMOOTH = 0.05  # Seconds, the standard deviation of the bell over which changes are smoothed: shorter than any blow.
STRETCH = 160  # Frames that are refined at once, so that memory does not grow with the clip.


@dataclass(frozen=True)
class Prior:
    """The networks and bodies of the stage, and how they are guided."""

    sampler: Sampler
    codebook: Codebook | None
    meshes: BodyModel
    guidance: GuidanceConfig
    partner: bool
    alignment: PoseTextModel | None = None
    """Heeds what is told, as a whole."""


def load_prior(body: BodyModel, config: RefineConfig, device: torch.device, statements: bool = True) -> Prior:
    """The bundled networks. Raises ModelFileError."""
    seen = PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)).to(device)
    sampler = Sampler(
        load_denoiser(device), cosine_schedule().to(device), seen, use_projection=config.projection_condition
    )
    codebook = load_codebook(device) if config.codebook else None
    guidance = GuidanceConfig(steps=config.guidance_steps)
    if not statements:
        guidance = replace(guidance, told=0.0)
    if not config.physics:
        guidance = replace(guidance, penetration=0.0, contact=0.0)
    return Prior(sampler, codebook, watertight_body(body, "coarse").to(device), guidance, config.cross_attention)


def refine(
    observed: ObservedClip,
    motion: BodyMotion,
    uncertainty: PoseUncertainty,
    body: BodyModel,
    config: RefineConfig,
    device: torch.device,
    progress: Progress,
    text: Sequence[TimedStatement] = (),
    language: LanguageConfig | None = None,
) -> BodyMotion:
    """The motion, camera frame, with people who come close refined in pairs; the others are unchanged.

    A person in two pairs gets the mean of both. Statements in `text` about a pair or about one of its people guide
    the sampling.
    """
    if not config.prior:
        if text:
            progress.note("what is told of the people is heeded by the last stage alone without the prior")
        return motion
    language = language or LanguageConfig()
    camera = observed.camera
    evidence = make_evidence(observed.observations, observed.clip.times, camera, device)
    people = PairBlender(motion, uncertainty, body, device)
    pairs = find_close_pairs(motion, body, REACH, uncertainty.pelvis_std[..., 2])
    prior = load_prior(body, config, device, language.statements) if pairs else None
    if prior and text and language.alignment:
        prior = replace(prior, alignment=load_alignment(device))
    if text and not pairs:
        progress.note(
            "what is told of the people is heeded by the last stage alone: no two of them come near each other"
        )
    with progress.task("refine", sum(int(near.sum()) for *_, near in pairs)) as advance:
        for a, b, near in pairs:
            assert prior is not None
            said = select_people(text, (a, b))
            for frames, weight in close_intervals(near, motion.valid[:, a] & motion.valid[:, b]):
                part = _pair_clip(people, evidence, a, b, frames)
                words = TextGuidance(said, torch.as_tensor(camera.up[frames].mean(0))) if said else None
                refined = refine_stretch(prior, part, words)
                people.add(a, b, frames, refined, torch.as_tensor(weight, device=device))
                advance(int(near[frames].sum()))
    return people.motion()


def close_intervals(near: Bools, present: Bools) -> Iterator[tuple[slice, Floats]]:
    """Runs of frames in which two people are near, or soon will be, with a weight for each frame.

    near and present [T]. A weight falls to 0 within LEAD frames of the near ones; long runs are split into stretches
    that fade into each other.
    """
    frames = np.arange(len(near))
    if not near.any():
        return
    away = np.abs(frames[:, None] - frames[near]).min(1)
    weight = np.clip(1 - away / (LEAD + 1), 0, 1).astype(np.float32) * present
    for run in find_runs(weight > 0):
        start, end = run.start, run.stop
        for first in range(start, max(end - LEAD, start + 1), STRETCH - LEAD):
            last = min(first + STRETCH, end)
            fade = np.ones(last - first, np.float32)
            if first > start:
                fade[:LEAD] = np.linspace(0, 1, LEAD + 2)[1:-1]
            if last < end:
                fade[-LEAD:] = np.minimum(fade[-LEAD:], np.linspace(1, 0, LEAD + 2)[1:-1])
            yield slice(first, last), weight[first:last] * fade


def refine_stretch(prior: Prior, part: PairClip, told: TextGuidance | None = None) -> PairState:
    """The refined pair [1, T, 2, ...] in the camera frame; windows that share frames agree after every step.

    What the sampling changes is smoothed over time: it follows keypoints that tremble, the first motion does not.
    """
    where = window_layout(len(part), part.times.device)
    windows = windows_of(part, where)
    if not prior.partner:
        windows = replace(windows, alone=torch.ones_like(windows.alone))
    if told is not None and prior.guidance.told > 0:
        windows = told.condition(windows)
    guides: list[Guide] = []
    if prior.codebook is not None:
        guides.append(guide_by_codebook(prior.codebook, windows, prior.guidance))
    guides.append(_by_energies(prior, windows, told))
    guides.append(lambda state, _: synchronize_windows(state, windows.view, where, len(part)))
    refined = sample(prior.sampler, windows, guides)
    together = merge_windows(refined, windows.view, where, len(part))
    before, after = pack(part.state), pack(together)
    return unpack(before + torch.einsum("bts,bspd->btpd", neighbours(part.times[None], SMOOTH), after - before))


def _by_energies(prior: Prior, windows: PairWindows, told: TextGuidance | None) -> Guide:
    guidance = prior.guidance
    energies: list[Energy] = [reprojection_energy(windows, prior.sampler.body, guidance.reprojection)]
    if told is not None:
        guidance = replace(guidance, steps=guidance.told_steps * guidance.steps)
        if guidance.told > 0:
            energies.append(told.energy(windows, prior.sampler.body, guidance.told))
        if prior.alignment is not None:
            energies.append(told.nearness(windows, prior.alignment, guidance.alignment))
    physics = None
    if guidance.penetration > 0 or guidance.contact > 0:
        physics = PhysicsEnergy(prior.meshes, guidance.penetration, guidance.contact)
    return guide_by_energies(windows, energies, physics, guidance)


def _pair_clip(people: PairBlender, evidence: KeypointTracks, a: int, b: int, frames: slice) -> PairClip:
    state, spread = people.pair(a, b, frames)
    return clip_of(evidence.frames(frames), (a, b), state, spread)
