"""Stage `optimise`: all people jointly, on one floor, with contact between bodies, appearance and statements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.avatars.fit import PhotometricWeights, mean_psnr
from closemesh.avatars.model import AvatarConfig, create_avatars
from closemesh.avatars.saved import pack_gaussians
from closemesh.avatars.views import TrainingView
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel, has_uv
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.config.schema import AppearanceConfig, OptimiseConfig
from closemesh.contact.measure import find_close_pairs
from closemesh.contact.watertight import watertight_body
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.floor import place_on_floor
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.keypoint_tracks import KeypointTracks, reference_at
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, from_motion, to_motion
from closemesh.fitting.optimizer import JOINT, SEPARATE, SIGMAS, TEXT, Phase, minimize
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import (
    COLOR_ONLY,
    AppearanceModel,
    AppearanceObjective,
    AppearanceViews,
    align_to_views,
    continue_avatars,
    continued_steps,
    fit_appearance,
)
from closemesh.optimization.depth_order import count_parts, resolve_depth_order
from closemesh.optimization.floor_alignment import FloorEvidence, align_to_floor
from closemesh.optimization.joint_objective import CONTACT_DISTANCE, JointObjective
from closemesh.optimization.network_finetuning import FinetunedMotion, finetune_network
from closemesh.optimization.text_terms import TextObjective, apply_text, text_objective
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, DepthOrder, ObservedClip
from closemesh.temporal import crossfade_window, split_windows
from closemesh.text.statements import TimedStatement

SILHOUETTES = PhotometricWeights(color=0.0, dssim=0.0, identity=1.0)
# Factor on the standard deviation of a person who is in no pair, neither of this stage nor of the prior.
ALONE_STD_FACTOR = 3.0
MAX_PAIR_DISTANCE = 0.3  # Meters between the surfaces of two people who are optimized with contact.
_SILHOUETTE_AVATARS = AvatarConfig(num_gaussians=4000)


@dataclass(frozen=True)
class KnownPeople:
    """What earlier stages know about the people besides their motion."""

    text: Sequence[TimedStatement] = ()
    """Statements that constrain what no keypoint shows."""
    refined: Collection[int] = ()
    """The people of `refined_people`, who stay near their motion."""


def optimise(
    observed: ObservedClip,
    motion: BodyMotion,
    body: BodyModel,
    config: OptimiseConfig,
    device: torch.device,
    progress: Progress,
    views: AppearanceViews = AppearanceViews(),
    known: KnownPeople = KnownPeople(),
) -> tuple[Camera, BodyMotion, AppearanceSummary]:
    """The camera above its floor, the motion of all people (camera frame), and a summary of the appearance.

    views: of `collect_views`, to which avatars are fitted; without any, appearance is left out. Raises InputError when
    config.pairs names a person who does not exist, and ModelFileError when a model file is missing or damaged.
    """
    if views.views and not has_uv(body):
        progress.note(f"body {body.name} has no texture coordinates: appearance is left out")
        views = AppearanceViews()
    tracks = KeypointTracks.from_observations(observed.observations, observed.clip.times, observed.camera, device)
    model = FitModel(load_landmark_body(body).to(device), load_pose_prior().to(device))
    parameters = from_motion(model.body, motion, device)
    # The prior does not model hands, and its wrist rotations are arbitrary.
    parameters = fit_hands(model, parameters, tracks, config.iterations, config.window, config.overlap, progress)
    pairs = _pairs(config, motion, body)
    unpaired = [person not in chain(*pairs) for person in range(motion.num_people)]
    alone = [own and person not in known.refined for person, own in enumerate(unpaired)]
    statements = text_objective(known.text, motion.num_people, observed.camera.up, body, device)
    in_no_pair, loose = torch.tensor(unpaired, device=device), torch.tensor(alone, device=device)
    problem = _Problem(model, body, tracks, pairs, in_no_pair, loose, statements, config)
    with progress.task("optimise", _count_steps(problem, views.views)) as advance:
        steps = config.iterations if config.physics else 0
        evidence = FloorEvidence(model, tracks, problem.unpaired, _known_up(observed.camera, device))
        alignment = align_to_floor(evidence, parameters, steps, advance)
        if problem.text and alignment.floor_found:
            problem = replace(problem, text=problem.text.above(alignment.ground.floor))
        appearance = optimize_appearance(
            views, model, body, alignment.parameters, tracks, pairs, config.appearance, advance
        )
        ground = alignment.ground if alignment.floor_found and config.physics else None
        tracks_near = problem.with_reference(appearance.parameters, appearance.depth_orders)
        objective = JointObjective(model, tracks_near, ground, problem.text)
        parameters = _optimize_in_turn(problem, objective, appearance, views.seed, advance)
    if config.motion == "network" and not pairs:
        progress.note("no two people come close: SMPL-X parameters are optimized, not the weights of the denoiser")
    if not alignment.floor_found:
        reason = (
            "no floor found under standing feet"
            if len(tracks.times) > 1
            else "one frame does not show which feet stand"
        )
        progress.note(f"{reason}: y = 0 is an estimate, and sizes of people stay near those of usual adults")
    pelvis = parameters.pelvis()[tracks.detected]
    camera = place_on_floor(observed.camera, alignment.ground.floor, pelvis, alignment.floor_found)
    optimized = to_motion(body, model.body, parameters, tracks)
    return camera, optimized, _summary(appearance, optimized, views)


def _summary(result: AppearanceResult, motion: BodyMotion, views: AppearanceViews) -> AppearanceSummary:
    """The appearance of the motion in the views that were fitted, and in those that no fit used."""
    if result.appearance is None:
        return AppearanceSummary(float("nan"), result.depth_orders)
    avatars = result.appearance.avatars
    fitted, held_out = (mean_psnr(avatars, motion, some) for some in (views.views, views.held_out))
    gaussians = pack_gaussians(avatars, _pixel_size(views.views, motion))
    return AppearanceSummary(fitted, result.depth_orders, held_out, gaussians, avatars.surface.side)


def _pixel_size(views: Sequence[TrainingView], motion: BodyMotion) -> float:
    """Median over the views of the meters that a pixel covers at the people."""
    sizes = [motion.transl[view.frame, motion.valid[view.frame], 2] / view.viewport.focal for view in views]
    return float(np.median(np.concatenate(sizes))) if any(map(len, sizes)) else 0.0


def _known_up(camera: Camera, device: torch.device) -> Tensor | None:
    """The vertical [3] of a still camera; None where it is only assumed to be level."""
    up = F.normalize(torch.as_tensor(camera.up.mean(0), dtype=torch.float32, device=device), dim=0)
    return up if camera.up_std > 0 else None


@dataclass(frozen=True)
class _Problem:
    """What all steps of the stage need."""

    model: FitModel
    body: BodyModel
    tracks: KeypointTracks
    pairs: tuple[tuple[int, int], ...]
    unpaired: Tensor  # [P] bool; only these people may change in size and depth to stand on the floor
    alone: Tensor  # [P] bool; the unpaired people who were in no pair of the prior either: less reliable
    text: TextObjective | None
    config: OptimiseConfig

    @property
    def contact_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs that are optimized with contact."""
        return self.pairs if self.config.physics else ()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Phases of the joint fit of a window."""
        return (*JOINT, SEPARATE) if self.contact_pairs else JOINT

    @property
    def windows(self) -> list[slice]:
        return split_windows(len(self.tracks.times), self.config.window, self.config.overlap)

    def with_reference(self, parameters: MotionParameters, orders: Sequence[DepthOrder] = ()) -> KeypointTracks:
        """The tracks with `parameters` as the reference, adjusted for people who are alone, depth orders
        and statements.

        Depths are held tight where views clearly show their order: no contact may pull people back.
        """
        reference = reference_at(parameters, SIGMAS.refined_rotation, SIGMAS.refined_depth)
        reference = reference.scale_std(torch.where(self.alone, ALONE_STD_FACTOR, 1.0))
        for order in orders:
            reference.log_depth_std[order.start : order.end + 1, [order.person_a, order.person_b]] = (
                SIGMAS.ordered_depth
            )
        if self.text:
            posed = pose_parameters(self.model.body, parameters)
            reference = self.text.adjust_reference(reference, self.tracks, posed)
        return replace(self.tracks, reference=reference)


def _pairs(config: OptimiseConfig, motion: BodyMotion, body: BodyModel) -> tuple[tuple[int, int], ...]:
    """The pairs of the configuration, else those that come close."""
    if config.pairs is None:
        return tuple((a, b) for a, b, _ in find_close_pairs(motion, body, MAX_PAIR_DISTANCE))
    for a, b in config.pairs:
        if a == b or not (0 <= a < motion.num_people and 0 <= b < motion.num_people):
            raise InputError(f"--pairs {a}-{b}: give two different people from 0 to {motion.num_people - 1}")
    return config.pairs


def _count_steps(problem: _Problem, views: Sequence[TrainingView]) -> int:
    """How often the stage advances at most."""
    config, phases = problem.config, (TEXT, *problem.phases) if problem.text else problem.phases
    per_window = sum(round(config.iterations * phase.fraction) for phase in phases)
    alignment = config.iterations * config.physics
    appearance = count_appearance_steps(views, problem.pairs, problem.tracks.times, config.appearance)
    in_turn = len(problem.phases) if views and config.appearance.joint else 0
    continued = in_turn * continued_steps(config.appearance)
    return per_window * len(problem.windows) + alignment + appearance + continued


def _optimize_in_turn(
    problem: _Problem, objective: JointObjective, result: AppearanceResult, seed: int, advance: Advance
) -> MotionParameters:
    """The parameters after the joint optimization: motion and avatars in turn, where there are avatars (Eq. 10)."""
    appearance, config = result.appearance, problem.config.appearance
    if appearance is None or not config.joint:
        return _optimize_windows(problem, objective, problem.phases, result.parameters, result, advance)
    parameters = result.parameters
    for number, phase in enumerate(problem.phases):
        term = AppearanceObjective(appearance, problem.pairs)
        parameters = _optimize_windows(
            problem, replace(objective, appearance=term), (phase,), parameters, result, advance, first=number == 0
        )
        motion = to_motion(problem.body, problem.model.body, parameters, problem.tracks)
        continue_avatars(appearance, motion, config, seed + number, advance)
    return parameters


def _optimize_windows(
    problem: _Problem,
    objective: JointObjective,
    phases: Sequence[Phase],
    before: MotionParameters,
    appearance: AppearanceResult,
    advance: Advance,
    first: bool = True,
) -> MotionParameters:
    """The parameters after some phases in overlapping windows; statements act before the first ones."""
    config, pairs = problem.config, problem.pairs
    meshes = watertight_body(problem.body, "coarse").to(problem.unpaired.device)
    parameters = before
    for window in problem.windows:
        loss = objective.frames(window, meshes, problem.contact_pairs, appearance.before_photometric)
        # Frames that an earlier window changed would start beside frames that none changed: a jump.
        start = before.frames(window)
        if problem.text and first:
            start = apply_text(loss, start, loss.tracks.times, config.iterations, advance)
        if config.motion == "network" and pairs:
            motion = FinetunedMotion(problem.body, pairs, start, loss.tracks)
            optimized = finetune_network(loss, motion, phases, config.iterations, advance)
        else:
            optimized = _run_phases(loss, start, phases, config.iterations, advance)
        parameters = crossfade_window(parameters, optimized, window, config.overlap)
    return parameters


def _run_phases(
    loss: JointObjective, parameters: MotionParameters, phases: Sequence[Phase], iterations: int, advance: Advance
) -> MotionParameters:
    """One window after the phases."""
    for phase in phases:
        parameters = minimize(
            parameters,
            lambda p, step, weights=phase.weights: loss(p, weights, step),
            iterations=round(iterations * phase.fraction),
            learning_rate=phase.learning_rate,
            free=POSE_PARAMETERS,
            advance=advance,
        )
    return parameters


@dataclass(frozen=True)
class AppearanceResult:
    """The motion after the appearance steps."""

    parameters: MotionParameters
    """Aligned to the views."""
    before_photometric: MotionParameters
    """Before the alignment to colors, with the depths of the compared orders."""
    appearance: AppearanceModel | None
    depth_orders: tuple[DepthOrder, ...]


def optimize_appearance(
    views: AppearanceViews,
    model: FitModel,
    body: BodyModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    pairs: Sequence[tuple[int, int]],
    config: AppearanceConfig,
    advance: Advance,
) -> AppearanceResult:
    """Avatars fitted, depth orders compared, and the motion aligned to colors, optionally to silhouettes before.

    Avatars fitted to a misplaced body have colors in the wrong places. But masks are often wrong where a person lies or
    is carried, and the fit to them then deforms the pose.
    """
    if not views.views:
        return AppearanceResult(parameters, parameters, None, ())
    steps = config.pose_steps
    if config.silhouette_alignment:
        avatars = create_avatars(body, tracks.present.shape[1], _SILHOUETTE_AVATARS, views.seed, tracks.times.device)
        gray = AppearanceModel(avatars, views.views, tracks.present)
        parameters = align_to_views(gray, parameters, model, tracks, pairs, steps, advance, SILHOUETTES)
    motion = to_motion(body, model.body, parameters, tracks)
    appearance = fit_appearance(views, motion, tracks.present, body, config, advance)
    touching = {(a, b): frames for a, b, frames in find_close_pairs(motion, body, CONTACT_DISTANCE)}
    nowhere = np.zeros(len(tracks.times), bool)
    in_contact = {pair: touching.get(pair, nowhere) for pair in pairs}
    ordered, orders = resolve_depth_order(appearance, parameters, in_contact, tracks.times, advance)
    aligned = align_to_views(appearance, ordered, model, tracks, pairs, steps, advance, COLOR_ONLY)
    return AppearanceResult(aligned, ordered, appearance, orders)


def count_appearance_steps(
    views: Sequence[TrainingView], pairs: Sequence[tuple[int, int]], times: Tensor, config: AppearanceConfig
) -> int:
    """How often `optimize_appearance` advances at most; times [T] seconds."""
    if not views:
        return 0
    pose_steps = config.pose_steps * (1 + config.silhouette_alignment)
    return config.fit_steps + count_parts(views, len(pairs), times) + pose_steps
