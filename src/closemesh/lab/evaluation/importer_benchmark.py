"""Benchmark of reconstruction from another tool's result: simulated results, read from files, before and after."""

from __future__ import annotations

import functools
import math
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX, PARENTS
from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers.uncertainty import SHOWN_BY
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene, seed_of
from closemesh.lab.evaluation.benchmark_runner import RunOptions, run_windows
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.joint_metrics import lsp_joints, root_relative
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences
from closemesh.lab.evaluation.scores import Groups
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.motion_files.smpl_parameters import smpl_rest_pelvis
from closemesh.pipeline.stages import MOTION_STAGES
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion, Camera

Variant = Literal["frame", "video"]
"""A tool that sees one frame at a time, or the whole video."""


@dataclass(frozen=True)
class ToolErrors:
    """Sizes of a tool's errors."""

    jitter: float
    """Radians about each axis, independent from frame to frame."""
    wrong: float
    """Fraction of frames with a wrong pose."""
    wrong_frames: int
    """Most frames that a wrong pose lasts."""


VARIANTS: Mapping[Variant, ToolErrors] = {
    "frame": ToolErrors(jitter=0.023, wrong=0.02, wrong_frames=2),
    "video": ToolErrors(jitter=0.007, wrong=0.01, wrong_frames=6),
}
"""Jitter gives the acceleration errors that are published for 3DPW: about 20 mm/frame² for tools such as 4D-Humans,
about 6 for WHAM, TRAM and GVHMR."""

JOINT_ERROR = 0.046
"""Meters, mean over a clip, mid-hips aligned: that of strong tools on 3DPW and Hi4D."""
_CORRELATION = 0.4  # Seconds over which the slow errors change.
_CONSTANT = 0.5  # Fraction of the variance that does not change over the clip.
_HIDDEN, _CONTACT = 1.8, 1.3  # Times the errors of seen joints of people who are apart.
_ACROSS = 0.5  # Error about the viewing ray, which the image shows, relative to the other axes.
_WRONG = 0.6  # Radians about each axis.
_DEPTH, _SLOW_DEPTH, _DEPTH_JITTER = 0.06, 0.02, 0.15  # Of the depth; the last times jitter.
_LATERAL = 0.015  # Meters across the viewing ray.
_BETAS = 0.5
_FADE = 0.1  # Seconds.
_BISECTIONS = 12

# Relative errors: they grow from the trunk to the hands and feet.
_RELATIVE = {
    **{"pelvis": 0.5, "hip": 0.7, "knee": 0.8, "ankle": 1.0, "foot": 0.7, "neck": 0.6, "head": 0.7},
    **{"spine1": 0.35, "spine2": 0.35, "spine3": 0.35, "collar": 0.4, "shoulder": 1.0, "elbow": 1.1, "wrist": 1.1},
}


def simulate_tool(
    scene: SimulatedScene, hidden: Bools, touching: Bools, variant: Variant, rng: np.random.Generator
) -> BodyMotion:
    """The true motion as a tool of this kind would estimate it, camera frame.

    hidden [T, P, 23] keypoints that the image does not show. touching [T] frames in which people touch. Smooth errors
    have the size that gives JOINT_ERROR.
    """
    errors, shape = VARIANTS[variant], (len(scene.clip), scene.motion.num_people)
    frames = _CORRELATION * scene.clip.fps
    smooth = _smooth((*shape, NUM_BODY_JOINTS, 3), frames, rng) * _amplitudes(hidden, touching, scene.clip.fps)
    jitter = errors.jitter * rng.standard_normal((*shape, NUM_BODY_JOINTS, 3)) * _relative()
    wrong = _wrong_frames(shape, errors, rng)
    mistaken = wrong[..., None, None] * _WRONG * rng.standard_normal((1, shape[1], NUM_BODY_JOINTS, 3)) * _relative()
    motion = _misplace(scene, errors, rng)
    size = _size_of_errors(scene, motion, smooth, jitter + mistaken)
    return _turn(motion, size * smooth + jitter + mistaken)


def write_tool_result(path: Path, motion: BodyMotion, body: BodyModel, camera: Camera) -> None:
    """The motion as results.pkl of PromptHMR, in the camera frame."""
    pelvis = motion_joints(motion, body)[:, :, 0]
    people = {}
    for person in range(motion.num_people):
        frames = np.flatnonzero(motion.valid[:, person])
        parts = {
            "rotmat": motion.rotations[frames, person],
            "trans": pelvis[frames, person] - smpl_rest_pelvis("smplx", "neutral"),
            "shape": np.tile(motion.betas[person, :10], (len(frames), 1)),
        }
        people[person + 1] = {"frames": frames, "smplx_cam": parts}
    data: dict[str, Any] = {
        "camera": {"img_focal": camera.focal, "img_center": np.array(camera.size) / 2},
        "people": people,
    }
    path.write_bytes(pickle.dumps(data))


def _relative() -> Floats:
    """[22, 1]."""
    names = [name.removeprefix("left_").removeprefix("right_") for name in list(JOINT_INDEX)[:NUM_BODY_JOINTS]]
    return np.array([_RELATIVE[name] for name in names])[:, None]


def _smooth(shape: tuple[int, ...], frames: float, rng: np.random.Generator) -> Floats:
    """Errors of variance 1 that change over `frames` frames; a part of them is constant over the clip."""
    margin = math.ceil(4 * frames)
    slow = gaussian_filter1d(rng.standard_normal((shape[0] + 2 * margin, *shape[1:])), frames / math.sqrt(2), axis=0)
    slow = slow[margin : margin + shape[0]] * math.sqrt(math.sqrt(2 * math.pi) * frames)
    return math.sqrt(_CONSTANT) * rng.standard_normal(shape[1:]) + math.sqrt(1 - _CONSTANT) * slow


def _amplitudes(hidden: Bools, touching: Bools, fps: float) -> Floats:
    """[T, P, 22, 1]: larger for joints that move a hidden keypoint, and in contact."""
    unseen = np.zeros((*hidden.shape[:2], NUM_BODY_JOINTS))
    for side in ("left", "right"):
        for joint, keypoint in SHOWN_BY.items():
            unseen[..., JOINT_INDEX[f"{side}_{joint}"]] = hidden[..., KEYPOINT_INDEX[f"{side}_{keypoint}"]]
    sigma = _FADE * fps
    factor = 1 + (_HIDDEN - 1) * gaussian_filter1d(unseen, sigma, axis=0, mode="nearest")
    close = 1 + (_CONTACT - 1) * gaussian_filter1d(touching.astype(float), sigma, axis=0, mode="nearest")
    return _relative() * (factor * close[:, None, None])[..., None]


def _wrong_frames(shape: tuple[int, int], errors: ToolErrors, rng: np.random.Generator) -> Bools:
    """[T, P] frames in short runs; about the fraction `wrong` of all."""
    wrong = np.zeros(shape, bool)
    starts = rng.random(shape) < errors.wrong / ((1 + errors.wrong_frames) / 2)
    for frame, person in np.argwhere(starts):
        wrong[frame : frame + rng.integers(1, errors.wrong_frames + 1), person] = True
    return wrong


def _misplace(scene: SimulatedScene, errors: ToolErrors, rng: np.random.Generator) -> BodyMotion:
    """The true poses with errors of the position and of the betas."""
    motion, (frames, people) = scene.motion, scene.motion.valid.shape
    slow = _smooth((frames, people, 3), _CORRELATION * scene.clip.fps, rng)
    across = _LATERAL * slow[..., :2]
    jitter = errors.jitter * _DEPTH_JITTER * rng.standard_normal((frames, people))
    depth = 1 + _DEPTH * rng.standard_normal(people) + _SLOW_DEPTH * slow[..., 2] + jitter
    betas = motion.betas + (_BETAS * rng.standard_normal(motion.betas.shape)).astype(np.float32)
    pelvis = motion_joints(motion, scene.body)[:, :, 0]
    moved = pelvis * depth[..., None]
    moved[..., :2] += across
    changed = motion.with_pose(betas=betas)
    rest = motion_joints(changed, scene.body)[:, :, 0] - changed.transl
    return changed.with_pose(transl=(moved - rest).astype(np.float32))


def _size_of_errors(scene: SimulatedScene, motion: BodyMotion, smooth: Floats, others: Floats) -> float:
    """The factor of the smooth errors [T, P, 22, 3] that gives JOINT_ERROR over all frames."""
    counted = scene.motion.valid
    truth = _relative_joints(scene.motion, scene.body)
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        joints = _relative_joints(_turn(motion, middle * smooth + others), scene.body)
        error = np.linalg.norm(joints - truth, axis=-1)[counted].mean()
        low, high = (middle, high) if error < JOINT_ERROR else (low, middle)
    return (low + high) / 2


def _relative_joints(motion: BodyMotion, body: BodyModel) -> Floats:
    joints = lsp_joints(motion_joints(motion, body).astype(np.float64))
    return root_relative(joints, joints)


def _turn(motion: BodyMotion, errors: Floats) -> BodyMotion:
    """The motion with each of the 22 body parts turned by errors [T, P, 22, 3] radians about the axes of the camera.

    A part turns by itself and leaves the parts after it as they are in the image, as networks do. What the image
    shows, turns about the viewing ray, is smaller.
    """
    turns = axis_angle_to_matrix(torch.as_tensor(errors * np.array([1.0, 1.0, _ACROSS]))).numpy()  # [T, P, 22, 3, 3]
    rotations = motion.rotations.astype(np.float64)
    in_camera, turned = np.empty_like(turns), np.empty_like(turns)
    for joint, parent in enumerate(PARENTS[:NUM_BODY_JOINTS]):
        own = motion.rotations[:, :, joint]
        in_camera[:, :, joint] = own if parent < 0 else in_camera[:, :, parent] @ own
        turned[:, :, joint] = turns[:, :, joint] @ in_camera[:, :, joint]
        before = turned[:, :, parent]
        rotations[:, :, joint] = turned[:, :, 0] if parent < 0 else np.swapaxes(before, -1, -2) @ turned[:, :, joint]
    return motion.with_pose(rotations=rotations.astype(np.float32))


IMPORTED = "imported"
"""Name of the tool's own motion among the motions of a report."""


def benchmark_importers(
    windows: Sequence[Window],
    config: Config,
    progress: Progress,
    options: RunOptions = RunOptions(),
    variants: Sequence[Variant] = tuple(VARIANTS),
) -> dict[Variant, BenchmarkReport]:
    """For each kind of tool the scores of its simulated poses and of the motions that start from them.

    The file has the true focal length. Raises ClosemeshError.
    """
    work = functools.partial(_run_window, config=config, device=options.device, variants=tuple(variants))
    inputs = {"config": to_dict(config), "variants": list(variants), "device": options.device}
    results = run_windows(windows, work, inputs, "benchmark of imported poses", progress, options)
    rows = zip(*results, strict=True)
    commit = current_commit()
    return {
        variant: BenchmarkReport(commit, config.seed, config.preset, "keypoints", tuple(row))
        for variant, row in zip(variants, rows, strict=True)
    }


def import_changes(report: BenchmarkReport) -> dict[str, dict[str, dict[str, Difference]]]:
    """Each motion against the tool's own: motion -> all, occluded and contact -> metric -> difference."""
    start = replace(report, windows=tuple(replace(w, stages=_as_all_stages(w)) for w in report.windows))
    changes = differences(start, report)
    return {stage: groups for stage, groups in changes.items() if stage != IMPORTED}


def _as_all_stages(window: WindowResult) -> dict[str, Groups]:
    return {stage: window.stages[IMPORTED] for stage in window.stages}


def _run_window(
    window: Window, config: Config, device: str | None, variants: tuple[Variant, ...]
) -> tuple[WindowResult, ...]:
    with tempfile.TemporaryDirectory() as folder:
        scene = build_scene(window, config, "keypoints", device, Path(folder))
        return tuple(
            _run_variant(scene.without_scores(), variant, Path(folder) / f"{variant}.pkl", seed_of(window, config.seed))
            for variant in variants
        )


def _run_variant(scene: BenchmarkScene, variant: Variant, path: Path, seed: int) -> WindowResult:
    touching = np.asarray(scene.scorer.touching.any(1))
    rng = np.random.default_rng([seed, list(VARIANTS).index(variant)])
    motion = simulate_tool(scene.scene, scene.scorer.hidden, touching, variant, rng)
    write_tool_result(path, motion, scene.scene.body, scene.scene.camera)
    scene.score(IMPORTED, motion)
    config = scene.ctx.config
    started = replace(config, initialise=replace(config.initialise, init=str(path)))
    scene.run(replace(scene.ctx, config=started), scene.state, MOTION_STAGES)
    return scene.result()
