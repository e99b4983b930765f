"""Stage four: everybody together, on one floor, out of each other and in touch."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.load import fitting_points
from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.config import OptimiseConfig
from closemesh.contact.pairs import near_pairs
from closemesh.contact.query_body import query_body
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.fitting.evidence import Evidence, make_evidence
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject, single_person_loss
from closemesh.fitting.result import from_motion, to_motion
from closemesh.fitting.run import POSE_VARIABLES
from closemesh.fitting.schedule import TOGETHER
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
        settled = settle(subject, variables, evidence, config.iterations if config.physics else 0, advance)
        variables = settled.variables
        ground = settled.ground if settled.floor_found and config.physics else None
        pairs = _pairs(config, to_motion(body, subject.body, variables, evidence), body) if config.physics else ()
        meshes = query_body(body, "coarse").to(device)
        for window in windows:
            part = evidence.frames(window)
            interaction = Interaction(meshes, pairs, part.present) if pairs else None
            grounded = ground.frames(window) if ground else None
            piece = _refine(subject, variables.frames(window), part, grounded, interaction, config.iterations, advance)
            variables = blend_window(variables, piece, window, config.overlap)
    if not settled.floor_found:
        progress.note("no floor found that feet stand on: y = 0 is an estimate, up is the usual axis of the bodies")
    camera = camera_above(camera, settled.ground.floor, variables.pelvis()[evidence.seen > 0], settled.floor_found)
    return camera, to_motion(body, subject.body, variables, evidence)


def _pairs(config: OptimiseConfig, motion: BodyMotion, body: BodyModel) -> tuple[tuple[int, int], ...]:
    """The pairs to refine together: those asked for, else those that come near."""
    if config.pairs is not None:
        return config.pairs
    return tuple((a, b) for a, b, _ in near_pairs(motion, body, PAIR_REACH))


def _refine(
    subject: Subject,
    variables: MotionVariables,
    evidence: Evidence,
    ground: Ground | None,
    interaction: Interaction | None,
    iterations: int,
    advance: Advance,
) -> MotionVariables:
    """One window through the phases of TOGETHER."""
    for phase in TOGETHER:
        weights = phase.weights

        def loss(v: MotionVariables, step: int, weights=weights) -> Tensor:
            posed = pose_variables(subject.body, v)
            total = single_person_loss(subject, v, posed, evidence, weights)
            if ground is not None:
                total = total + ground_loss(posed, ground, evidence, weights)
            if interaction is not None and (weights.penetration > 0 or weights.contact > 0):
                total = total + interaction.loss(v, weights, step)
            return total

        variables = minimise(
            variables,
            loss,
            iterations=round(iterations * phase.share),
            learning_rate=phase.learning_rate,
            free=POSE_VARIABLES,
            advance=advance,
        )
    return variables
