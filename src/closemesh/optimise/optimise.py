"""Stage four: everybody together, on one floor, out of each other and in touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from closemesh.body.load import fitting_points
from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.config import OptimiseConfig
from closemesh.contact.pairs import near_pairs
from closemesh.contact.query_body import query_body
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.errors import InputError
from closemesh.fitting.anchor import anchor_at
from closemesh.fitting.evidence import Evidence, make_evidence
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject, single_person_loss
from closemesh.fitting.result import from_motion, to_motion
from closemesh.fitting.run import POSE_VARIABLES
from closemesh.fitting.schedule import SIGMAS, TOGETHER, Weights
from closemesh.fitting.windows import blend_window, split_windows
from closemesh.optimise.floor import camera_above
from closemesh.optimise.ground import Ground, ground_loss
from closemesh.optimise.interaction import Interaction
from closemesh.optimise.settle import settle
from closemesh.progress import Advance, Progress
from closemesh.scene import BodyMotion, Camera, Clip, Observations

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
) -> tuple[Camera, BodyMotion]:
    """The camera above its floor, and the motion of everybody refined together; camera frame."""
    evidence = make_evidence(observations, clip.times, camera, device)
    subject = Subject(fitting_points(body).to(device), load_pose_prior().to(device))
    variables = from_motion(subject.body, motion, device)
    windows = split_windows(len(clip), config.window, config.overlap)
    with progress.task("optimise", config.iterations * (len(windows) + config.physics)) as advance:
        pairs = _pairs(config, motion, body) if config.physics else ()
        lone = [person not in chain(*pairs) for person in range(motion.num_people)]
        steps = config.iterations if config.physics else 0
        settled = settle(subject, variables, evidence, torch.tensor(lone, device=device), steps, advance)
        variables, ground = settled.variables, settled.ground if settled.floor_found and config.physics else None
        meshes = query_body(body, "coarse").to(device)
        evidence = replace(evidence, anchor=anchor_at(variables, SIGMAS.refined_turn, SIGMAS.refined_depth))
        for window in windows:
            part = evidence.frames(window)
            interaction = Interaction(meshes, pairs, part.present) if pairs else None
            loss = _together(subject, part, ground.frames(window) if ground else None, interaction)
            piece = _refine(loss, variables.frames(window), config.iterations, advance)
            variables = blend_window(variables, piece, window, config.overlap)
    if not settled.floor_found:
        progress.note("no floor found that feet stand on: y = 0 is an estimate, up is the usual axis of the bodies")
    camera = camera_above(camera, settled.ground.floor, variables.pelvis()[evidence.seen > 0], settled.floor_found)
    return camera, to_motion(body, subject.body, variables, evidence)


def _pairs(config: OptimiseConfig, motion: BodyMotion, body: BodyModel) -> tuple[tuple[int, int], ...]:
    """The pairs to refine together: those asked for, else those that come near."""
    if config.pairs is None:
        return tuple((a, b) for a, b, _ in near_pairs(motion, body, PAIR_REACH))
    for a, b in config.pairs:
        if a == b or not (0 <= a < motion.num_people and 0 <= b < motion.num_people):
            raise InputError(f"--pairs {a}-{b}: give two different people from 0 to {motion.num_people - 1}")
    return config.pairs


Loss = Callable[[MotionVariables, Weights, int], Tensor]


def _together(subject: Subject, evidence: Evidence, ground: Ground | None, interaction: Interaction | None) -> Loss:
    """The whole objective of one window: each person's own terms, the floor, and what bodies do to each other."""

    def loss(variables: MotionVariables, weights: Weights, step: int) -> Tensor:
        posed = pose_variables(subject.body, variables)
        total = single_person_loss(subject, variables, posed, evidence, weights)
        if ground is not None:
            total = total + ground_loss(posed, ground, evidence, weights)
        if interaction is not None and (weights.penetration > 0 or weights.contact > 0):
            total = total + interaction.loss(variables, weights, step)
        return total

    return loss


def _refine(loss: Loss, variables: MotionVariables, iterations: int, advance: Advance) -> MotionVariables:
    """One window through the phases of TOGETHER."""
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
