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

from closemesh.avatars.fit import LookWeights, mean_psnr
from closemesh.avatars.model import AvatarConfig, make_cast
from closemesh.avatars.views import Picture
from closemesh.body.loading import fitting_points
from closemesh.body.model import BodyModel, has_texture
from closemesh.body.motion import MotionVariables, pose_variables
from closemesh.config.schema import AppearanceConfig, OptimiseConfig
from closemesh.contact.measure import near_pairs
from closemesh.contact.watertight import query_body
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.keypoint_tracks import Evidence, anchor_at, make_evidence
from closemesh.fitting.objective import POSE_VARIABLES, Subject, from_motion, to_motion
from closemesh.fitting.optimizer import BY_WORDS, SIGMAS, TOGETHER, Phase, minimise
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import COLOUR_ALONE, Looks, follow_pictures, meet_everybody
from closemesh.optimization.depth_order import count_parts, put_in_order
from closemesh.optimization.floor import camera_above
from closemesh.optimization.floor_alignment import settle
from closemesh.optimization.joint_objective import Together
from closemesh.optimization.network_finetuning import NetworkMotion, refine_by_network
from closemesh.optimization.text_terms import follow_words, words_of
from closemesh.structures import Appearance, BodyMotion, Camera, Clip, DepthOrder, Observations
from closemesh.temporal import blend_window, split_windows
from closemesh.text.statements import Told

SILHOUETTES = LookWeights(colour=0.0, structure=0.0, identity=1.0)
_PLAIN = AvatarConfig(gaussians=4000)  # Of people who are nothing but silhouettes.


@dataclass(frozen=True)
class Seen:
    """What the pictures told."""

    variables: MotionVariables
    """Moved to where the pictures show everybody."""
    ordered: MotionVariables
    """The same before colours moved it: with the distances that were compared."""
    looks: Looks | None
    orders: tuple[DepthOrder, ...]


def heed_pictures(
    pictures: Sequence[Picture],
    subject: Subject,
    body: BodyModel,
    variables: MotionVariables,
    evidence: Evidence,
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
    following = (subject, evidence, pairs, config.following, advance)
    if config.silhouettes:
        plain = _plain_people(pictures, body, evidence.present, seed, device)
        variables = follow_pictures(plain, variables, *following, SILHOUETTES)
    motion = to_motion(body, subject.body, variables, evidence)
    looks = meet_everybody(pictures, motion, evidence.present, body, config, seed, device, advance)
    ordered, orders = put_in_order(looks, variables, pairs, evidence.times, advance)
    return Seen(follow_pictures(looks, ordered, *following, COLOUR_ALONE), ordered, looks, orders)


def count_steps(
    pictures: Sequence[Picture], pairs: Sequence[tuple[int, int]], times: Tensor, config: AppearanceConfig
) -> int:
    """How often `heed_pictures` advances at most."""
    followed = config.following * (1 + config.silhouettes)
    return (config.steps + count_parts(pictures, len(pairs), times) + followed) if pictures else 0


def _plain_people(
    pictures: Sequence[Picture], body: BodyModel, present: Tensor, seed: int, device: torch.device
) -> Looks:
    """Everybody in grey."""
    return Looks(make_cast(body, present.shape[1], _PLAIN, seed, device), pictures, present)


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
