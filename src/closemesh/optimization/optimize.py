"""The stage, appearance steps in order.

The appearance branch: what pictures tell of a motion beside its keypoints.

Stage four: everybody together, on one floor, out of each other and in touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor

from closemesh.avatars.fit import PhotometricWeights, mean_psnr
from closemesh.avatars.model import AvatarConfig, create_avatars
from closemesh.avatars.views import TrainingView
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel, has_uv
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.config.schema import AppearanceConfig, OptimiseConfig
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.keypoint_tracks import KeypointTracks, make_evidence, reference_at
from closemesh.fitting.objective import POSE_VARIABLES, FitModel, from_motion, to_motion
from closemesh.fitting.optimizer import JOINT, SIGMAS, TEXT, Phase, minimize
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import (
    COLOUR_ALONE,
    AppearanceModel,
    AppearanceViews,
    align_to_views,
    fit_appearance,
)
from closemesh.optimization.depth_order import count_parts, resolve_depth_order
from closemesh.optimization.floor import place_on_floor
from closemesh.optimization.floor_alignment import align_to_floor
from closemesh.optimization.joint_objective import JointObjective
from closemesh.optimization.network_finetuning import FinetunedMotion, refine_by_network
from closemesh.optimization.text_terms import apply_text, text_objective
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, DepthOrder, ObservedClip
from closemesh.temporal import crossfade_window, split_windows
from closemesh.text.statements import TimedStatement

SILHOUETTES = PhotometricWeights(color=0.0, dssim=0.0, identity=1.0)
_PLAIN = AvatarConfig(num_gaussians=4000)  # Of people who are nothing but silhouettes.


@dataclass(frozen=True)
class Seen:
    """What the pictures told."""

    variables: MotionParameters
    """Moved to where the pictures show everybody."""
    ordered: MotionParameters
    """The same before colours moved it: with the distances that were compared."""
    looks: AppearanceModel | None
    orders: tuple[DepthOrder, ...]


def optimize_appearance(
    pictures: Sequence[TrainingView],
    subject: FitModel,
    body: BodyModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    pairs: Sequence[tuple[int, int]],
    config: AppearanceConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
) -> Seen:
    """Looks learned, orders of depth compared, the motion brought to their colours; before, if asked, to silhouettes.

    Looks that are learned on a body beside its picture put its colours where it is not. But masks are often wrong where
    somebody lies or is carried, and a pose that is wrong is bent to fill them.
    """
    if not pictures:
        return Seen(variables, variables, None, ())
    following = (subject, evidence, pairs, config.pose_steps, advance)
    if config.silhouette_alignment:
        plain = _plain_people(pictures, body, evidence.present, seed, device)
        variables = align_to_views(plain, variables, *following, SILHOUETTES)
    motion = to_motion(body, subject.body, variables, evidence)
    looks = fit_appearance(pictures, motion, evidence.present, body, config, seed, device, advance)
    ordered, orders = resolve_depth_order(looks, variables, pairs, evidence.times, advance)
    return Seen(align_to_views(looks, ordered, *following, COLOUR_ALONE), ordered, looks, orders)


def count_steps(
    pictures: Sequence[TrainingView], pairs: Sequence[tuple[int, int]], times: Tensor, config: AppearanceConfig
) -> int:
    """How often `heed_pictures` advances at most."""
    followed = config.pose_steps * (1 + config.silhouette_alignment)
    return (config.fit_steps + count_parts(pictures, len(pairs), times) + followed) if pictures else 0


def _plain_people(
    pictures: Sequence[TrainingView], body: BodyModel, present: Tensor, seed: int, device: torch.device
) -> AppearanceModel:
    """Everybody in grey."""
    return AppearanceModel(create_avatars(body, present.shape[1], _PLAIN, seed, device), pictures, present)


LOOSER = 3.0  # The spread of somebody near nobody, whom the prior has not refined, but who was settled on a floor.
PAIR_REACH = 0.3  # Metres between two people from which they are refined together.


def optimise(
    observed: ObservedClip,
    motion: BodyMotion,
    body: BodyModel,
    config: OptimiseConfig,
    device: torch.device,
    progress: Progress,
    views: AppearanceViews = AppearanceViews(),
    text: Sequence[TimedStatement] = (),
) -> tuple[Camera, BodyMotion, AppearanceSummary]:
    """The camera above its floor, the motion of everybody refined together (camera frame), and what looks told.

    views: of `collect_views`, to which avatars are fitted; without any, appearance is left out.
    text: statements about anybody; they constrain what no keypoint shows.
    """
    pictures, seed = views.views, views.seed
    if pictures and not has_uv(body):
        progress.note(f"body {body.name} has no texture coordinates: everybody's look is left out")
        pictures = ()
    clip, camera = observed.clip, observed.camera
    evidence = make_evidence(observed.observations, clip.times, camera, device)
    subject = FitModel(load_landmark_body(body).to(device), load_pose_prior().to(device))
    variables = from_motion(subject.body, motion, device)
    # The prior knows nothing of hands, and turns wrists as it likes.
    variables = fit_hands(subject, variables, evidence, config.iterations, config.window, config.overlap, progress)
    windows = split_windows(len(clip), config.window, config.overlap)
    pairs = _pairs(config, motion, body)
    words = text_objective(text, motion.num_people, camera.up, body, device)
    phases = (TEXT, *JOINT) if words else JOINT
    looking = count_steps(pictures, pairs, evidence.times, config.appearance)
    with progress.task("optimise", _steps(config, phases, len(windows)) + looking) as advance:
        alone = [not config.physics or person not in chain(*pairs) for person in range(motion.num_people)]
        lone = torch.tensor(alone, device=device)
        steps = config.iterations if config.physics else 0
        settled = align_to_floor(subject, variables, evidence, lone, steps, advance)
        variables, ground = settled.variables, settled.ground if settled.floor_found and config.physics else None
        given = (evidence, pairs, config.appearance, seed, device, advance)
        shown = optimize_appearance(pictures, subject, body, variables, *given)
        variables = shown.variables
        anchor = reference_at(variables, SIGMAS.refined_turn, SIGMAS.refined_depth)
        anchor = anchor.scale_std(torch.where(lone, LOOSER, 1.0))
        if words:
            anchor = words.adjust_reference(anchor, evidence, pose_parameters(subject.body, variables))
        evidence = replace(evidence, anchor=anchor)
        whole = JointObjective(subject, evidence, ground, words)
        meeting = watertight_body(body, "coarse").to(device), pairs if config.physics else (), shown.ordered
        for window in windows:
            asked, now = whole.frames(window, *meeting), variables.frames(window)
            if words:
                now = apply_text(asked, now, asked.evidence.times, config.iterations, advance)
            if config.motion == "network" and len(pairs) == 1:
                now = FinetunedMotion(body, pairs[0], now, asked.evidence)
            piece = _refine(asked, now, config.iterations, advance)
            variables = crossfade_window(variables, piece, window, config.overlap)
    if not settled.floor_found:
        progress.note("no floor found that feet stand on: y = 0 is an estimate, up is the usual axis of the bodies")
    camera = place_on_floor(camera, settled.ground.floor, variables.pelvis()[evidence.seen > 0], settled.floor_found)
    found = to_motion(body, subject.body, variables, evidence)
    likeness = mean_psnr(shown.looks.cast, found, pictures) if shown.looks else float("nan")
    return camera, found, AppearanceSummary(likeness, shown.orders)


def _steps(config: OptimiseConfig, phases: Sequence[Phase], num_windows: int) -> int:
    each = sum(round(config.iterations * phase.fraction) for phase in phases)
    return each * num_windows + config.iterations * config.physics


def _pairs(config: OptimiseConfig, motion: BodyMotion, body: BodyModel) -> tuple[tuple[int, int], ...]:
    """The pairs to refine together: those asked for, else those that come near."""
    if config.pairs is None:
        return tuple((a, b) for a, b, _ in find_close_pairs(motion, body, PAIR_REACH))
    for a, b in config.pairs:
        if a == b or not (0 <= a < motion.num_people and 0 <= b < motion.num_people):
            raise InputError(f"--pairs {a}-{b}: give two different people from 0 to {motion.num_people - 1}")
    return config.pairs


def _refine(
    loss: JointObjective, variables: MotionParameters | FinetunedMotion, iterations: int, advance: Advance
) -> MotionParameters:
    """One window through the phases of TOGETHER, by its variables or by the network that tells them."""
    if isinstance(variables, FinetunedMotion):
        return refine_by_network(loss, variables, JOINT, iterations, advance)
    for phase in JOINT:
        variables = minimize(
            variables,
            lambda v, step, weights=phase.weights: loss(v, weights, step),
            iterations=round(iterations * phase.fraction),
            learning_rate=phase.learning_rate,
            free=POSE_VARIABLES,
            advance=advance,
        )
    return variables
