"""Stage four: everybody together, on one floor, out of each other and in touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import torch

from closemesh.appearance.likeness import mean_psnr
from closemesh.appearance.pictures import Picture
from closemesh.body.load import fitting_points
from closemesh.body.model import BodyModel
from closemesh.body.texture import has_texture
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.config import OptimiseConfig
from closemesh.contact.pairs import near_pairs
from closemesh.contact.query_body import query_body
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.errors import InputError
from closemesh.fitting.anchor import anchor_at
from closemesh.fitting.evidence import make_evidence
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject
from closemesh.fitting.result import from_motion, to_motion
from closemesh.fitting.run import POSE_VARIABLES
from closemesh.fitting.schedule import BY_WORDS, SIGMAS, TOGETHER, Phase
from closemesh.fitting.windows import blend_window, split_windows
from closemesh.language.told import Told
from closemesh.optimise.appearance_branch import count_steps, heed_pictures
from closemesh.optimise.by_network import NetworkMotion, refine_by_network
from closemesh.optimise.floor import camera_above
from closemesh.optimise.settle import settle
from closemesh.optimise.together import Together
from closemesh.optimise.words import follow_words, words_of
from closemesh.progress import Advance, Progress
from closemesh.scene import Appearance, BodyMotion, Camera, Clip, Observations

LOOSER = 3.0  # The spread of somebody near nobody, whom the prior has not refined, but who was settled on a floor.
PAIR_REACH = 0.3  # Metres between two people from which they are refined together.


def optimise(
    clip: Clip,
    observations: Observations,
    camera: Camera,
    motion: BodyMotion,
    body: BodyModel,
    config: OptimiseConfig,
    device: torch.device,
    progress: Progress,
    pictures: Sequence[Picture] = (),
    seed: int = 0,
    told: Sequence[Told] = (),
) -> tuple[Camera, BodyMotion, Appearance]:
    """The camera above its floor, the motion of everybody refined together (camera frame), and what looks told.

    pictures: of `collect_looks`, in which everybody's look is learned and compared; without any, looks are left out.
    told: of anybody; it decides what no keypoint shows.
    """
    if pictures and not has_texture(body):
        progress.note(f"body {body.name} has no texture coordinates: everybody's look is left out")
        pictures = ()
    evidence = make_evidence(observations, clip.times, camera, device)
    subject = Subject(fitting_points(body).to(device), load_pose_prior().to(device))
    variables = from_motion(subject.body, motion, device)
    # The prior knows nothing of hands, and turns wrists as it likes.
    variables = fit_hands(subject, variables, evidence, config.iterations, config.window, config.overlap, progress)
    windows = split_windows(len(clip), config.window, config.overlap)
    pairs = _pairs(config, motion, body)
    words = words_of(told, motion.num_people, camera.T_cam_world[:, :3, 1], body, device)
    phases = (BY_WORDS, *TOGETHER) if words else TOGETHER
    looking = count_steps(pictures, pairs, evidence.times, config.appearance)
    with progress.task("optimise", _steps(config, phases, len(windows)) + looking) as advance:
        alone = [not config.physics or person not in chain(*pairs) for person in range(motion.num_people)]
        lone = torch.tensor(alone, device=device)
        steps = config.iterations if config.physics else 0
        settled = settle(subject, variables, evidence, lone, steps, advance)
        variables, ground = settled.variables, settled.ground if settled.floor_found and config.physics else None
        given = (evidence, pairs, config.appearance, seed, device, advance)
        shown = heed_pictures(pictures, subject, body, variables, *given)
        variables = shown.variables
        anchor = anchor_at(variables, SIGMAS.refined_turn, SIGMAS.refined_depth)
        anchor = anchor.loosened(torch.where(lone, LOOSER, 1.0))
        if words:
            anchor = words.anchored(anchor, evidence, pose_variables(subject.body, variables))
        evidence = replace(evidence, anchor=anchor)
        whole = Together(subject, evidence, ground, words)
        meeting = query_body(body, "coarse").to(device), pairs if config.physics else (), shown.ordered
        for window in windows:
            asked, now = whole.frames(window, *meeting), variables.frames(window)
            if words:
                now = follow_words(asked, now, asked.evidence.times, config.iterations, advance)
            if config.motion == "network" and len(pairs) == 1:
                now = NetworkMotion(body, pairs[0], now, asked.evidence)
            piece = _refine(asked, now, config.iterations, advance)
            variables = blend_window(variables, piece, window, config.overlap)
    if not settled.floor_found:
        progress.note("no floor found that feet stand on: y = 0 is an estimate, up is the usual axis of the bodies")
    camera = camera_above(camera, settled.ground.floor, variables.pelvis()[evidence.seen > 0], settled.floor_found)
    found = to_motion(body, subject.body, variables, evidence)
    likeness = mean_psnr(shown.looks.cast, found, pictures) if shown.looks else float("nan")
    return camera, found, Appearance(likeness, shown.orders)


def _steps(config: OptimiseConfig, phases: Sequence[Phase], num_windows: int) -> int:
    each = sum(round(config.iterations * phase.share) for phase in phases)
    return each * num_windows + config.iterations * config.physics


def _pairs(config: OptimiseConfig, motion: BodyMotion, body: BodyModel) -> tuple[tuple[int, int], ...]:
    """The pairs to refine together: those asked for, else those that come near."""
    if config.pairs is None:
        return tuple((a, b) for a, b, _ in near_pairs(motion, body, PAIR_REACH))
    for a, b in config.pairs:
        if a == b or not (0 <= a < motion.num_people and 0 <= b < motion.num_people):
            raise InputError(f"--pairs {a}-{b}: give two different people from 0 to {motion.num_people - 1}")
    return config.pairs


def _refine(
    loss: Together, variables: MotionVariables | NetworkMotion, iterations: int, advance: Advance
) -> MotionVariables:
    """One window through the phases of TOGETHER, by its variables or by the network that tells them."""
    if isinstance(variables, NetworkMotion):
        return refine_by_network(loss, variables, TOGETHER, iterations, advance)
    for phase in TOGETHER:
        variables = minimise(
            variables,
            lambda v, step, weights=phase.weights: loss(v, weights, step),
            iterations=round(iterations * phase.share),
            learning_rate=phase.learning_rate,
            free=POSE_VARIABLES,
            advance=advance,
        )
    return variables
