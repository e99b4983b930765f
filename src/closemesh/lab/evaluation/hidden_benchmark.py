"""A partner who is not detected for a while, in contact: the motion without and with the interaction prior."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.loading import load_body
from closemesh.body.motion import motion_joints
from closemesh.config.loading import override
from closemesh.config.schema import Config
from closemesh.contact.measure import find_close_pairs
from closemesh.core.arrays import Floats
from closemesh.core.device import choose_device
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation.ablation import Settings
from closemesh.lab.evaluation.benchmark_run import seed_of
from closemesh.lab.evaluation.benchmark_scenes import Window, observe_keypoints
from closemesh.lab.evaluation.evaluate import fitting_betas
from closemesh.lab.evaluation.report import Difference, current_commit, paired_difference
from closemesh.lab.simulation.scene import SimulatedScene, make_scene
from closemesh.pipeline.cache import MemoryCache
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import MOTION_STAGES, run_stages
from closemesh.pipeline.state import PipelineState
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion, Observations

GAPS = (8, 16, 24, 30)
"""Frames in which a person is hidden."""
METHODS: dict[str, Settings] = {"alone": {"refine": {"prior": False}}, "generated": {}}
"""Without the prior, each person alone, and generated from the other one."""
MOTIONS = ("refined", "optimised")
METRICS = ("MPJPE", "Inter")
"""Millimeters: joints about the pelvis, and distances between joints of the two people."""
_TOUCH = 0.03  # Meters between the surfaces of people in contact.


@dataclass(frozen=True)
class HiddenError:
    """The errors of one window in the frames in which one of its people is hidden."""

    name: str
    gap: int
    """Frames."""
    method: str
    """Key of METHODS."""
    motion: str
    MPJPE: float
    """Mean distance in mm of the joints of the hidden person about the pelvis."""
    Inter: float
    """Mean error in mm of the distances between joints of the two people."""
    present: float
    """Fraction of the frames in which the person is in the result."""


@dataclass(frozen=True)
class _Gap:
    """Frames in which `hidden` is not detected, in contact with `seen`."""

    frames: slice
    seen: int
    hidden: int


def measure_hidden(
    windows: Sequence[Window], config: Config, gaps: Sequence[int], device: str | None, progress: Progress
) -> list[HiddenError]:
    """The errors of all windows in contact for every gap and method; windows without contact are left out.

    The pipeline gets simulated detections, and estimates the focal length. Raises ClosemeshError.
    """
    errors = []
    with progress.task("hidden", len(windows) * len(gaps)) as advance:
        for window in windows:
            sequence, body = window.read(), load_body(config.body_model)
            seed = seed_of(window, config.seed)
            scene = make_scene(sequence, body, seed, fitting_betas(sequence, body))
            observations = observe_keypoints(scene, seed + 1).observations
            for length in gaps:
                gap = _find_gap(scene, length)
                if gap is not None:
                    errors += _measure_gap(window.name, scene, observations, gap, config, device)
                advance(1)
    return errors


def _find_gap(scene: SimulatedScene, length: int) -> _Gap | None:
    """`length` frames around the middle of the longest contact; both people are seen before and after it."""
    found = [
        (int(frames.sum()), a, b, int(np.median(np.flatnonzero(frames))))
        for a, b, frames in find_close_pairs(scene.motion, scene.body, _TOUCH)
    ]
    count = len(scene.clip)
    if not found or count < length + 2:
        return None
    _, a, b, middle = max(found)
    start = min(max(middle - length // 2, 1), count - 1 - length)
    return _Gap(slice(start, start + length), a, b)


def _measure_gap(
    name: str, scene: SimulatedScene, observations: Observations, gap: _Gap, config: Config, device: str | None
) -> list[HiddenError]:
    """The errors of both methods; the first motion is made once."""
    state = PipelineState(observations=hide_person(observations, gap.hidden, gap.frames))
    truth = _joints(scene.motion, scene, gap)
    errors, progress = [], NullProgress()
    with tempfile.TemporaryDirectory() as folder:
        cache = MemoryCache(Path(folder), progress)
        for method, settings in METHODS.items():
            own = override(config, settings) if settings else config
            ctx = RunContext(scene.clip, scene.body, own, choose_device(device), cache, progress)
            for stage, after in run_stages(ctx, state, MOTION_STAGES):
                if stage.motion in MOTIONS:
                    motion = after.motions[stage.motion]
                    values = hidden_errors(_joints(motion, scene, gap), truth, gap.hidden, gap.seen)
                    present = float(motion.valid[gap.frames, gap.hidden].mean())
                    length = gap.frames.stop - gap.frames.start
                    errors.append(HiddenError(name, length, method, stage.motion, *values, present))
    return errors


def _joints(motion: BodyMotion, scene: SimulatedScene, gap: _Gap) -> Floats:
    """[T, P, 22, 3] in the hidden frames."""
    return motion_joints(motion.frames(gap.frames), scene.body)[:, :, :NUM_BODY_JOINTS]


def summary(errors: Sequence[HiddenError], seed: int) -> dict[int, dict[str, dict[str, Difference]]]:
    """Gap -> motion -> metric -> generated minus alone, with its interval over windows."""
    found: dict[int, dict[str, dict[str, Difference]]] = {}
    for gap in sorted({one.gap for one in errors}):
        for motion in MOTIONS:
            old, new = (
                [one for one in errors if (one.gap, one.motion, one.method) == (gap, motion, method)]
                for method in METHODS
            )
            found.setdefault(gap, {})[motion] = {metric: _change(old, new, metric, seed) for metric in METRICS}
    return found


def _change(old: list[HiddenError], new: list[HiddenError], metric: str, seed: int) -> Difference:
    before, after = (
        (np.array([getattr(one, metric) for one in side]), np.array([one.gap for one in side])) for side in (old, new)
    )
    return paired_difference(before, after, np.random.default_rng(seed))


def as_json(errors: Sequence[HiddenError], seed: int) -> dict[str, Any]:
    """The commit, the summary and the errors of all windows by their names in the JSON file."""
    means = {
        str(gap): {
            motion: {metric: asdict(change) for metric, change in metrics.items()} for motion, metrics in of_gap.items()
        }
        for gap, of_gap in summary(errors, seed).items()
    }
    return {"commit": current_commit(), "seed": seed, "summary": means, "windows": [asdict(one) for one in errors]}


def hide_person(observations: Observations, person: int, frames: slice) -> Observations:
    """The observations without detections of one person in these frames."""

    def without(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        changed[frames, person] = 0
        return changed

    return replace(
        observations,
        boxes=without(observations.boxes),
        keypoints=without(observations.keypoints),
        keypoints3d=without(observations.keypoints3d),
        detected=without(observations.detected),
        track_confidence=without(observations.track_confidence),
        outside=None if observations.outside is None else without(observations.outside),
    )


def hidden_errors(predicted: Floats, truth: Floats, hidden: int, seen: int) -> tuple[float, float]:
    """MPJPE of the hidden person and Inter of the two in mm; predicted [T, P, J, 3], truth [T, P, J, 3] in meters."""
    own, true = (joints[:, hidden] - joints[:, hidden, :1] for joints in (predicted, truth))
    distance, true_distance = (
        np.linalg.norm(joints[:, hidden, :, None] - joints[:, seen, None], axis=-1) for joints in (predicted, truth)
    )
    pose, between = np.linalg.norm(own - true, axis=-1), np.abs(distance - true_distance)
    return 1000 * float(pose.mean()), 1000 * float(between.mean())
