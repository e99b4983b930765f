"""The bundled clip of an embrace: how it is rendered, its true motion, and a result against it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body.motion import motion_joints
from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.core.records import load_record, save_record
from closemesh.lab.evaluation.benchmark_scenes import find_windows
from closemesh.lab.evaluation.evaluate import PosedMotion, evaluate, fitting_betas, match_people
from closemesh.lab.evaluation.joint_metrics import METRIC, Metric, lsp_joints, without_absent
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, make_scene
from closemesh.pipeline.cache import load_saved_motion
from closemesh.structures import BodyMotion, Camera, Clip
from closemesh.video import open_clip, read_frames
from closemesh.video.video_files import write_video
from closemesh.weights.locate import find_model
from closemesh.weights.registry import HUG_CLIP

_WINDOW = "hug_00000_02"
_FRAMES = slice(16, 112)  # Of the window: the people embrace in all of them.
_CAMERA_SEED, _VIDEO_SEED = 276, 9  # The people fill most of the height and are seen from the side.
_CRF = 25  # The grain of the rendered frames would take four megabytes at the usual quality.
_SHOWN = ("MPJPE", "PA-MPJPE", "Pair-PA-MPJPE", "Inter", "contact-F1@13mm", "contact-F1@50mm")


@dataclass(frozen=True)
class DemoTruth:
    """True motion of the people of a bundled clip."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    """Camera frame."""


def load_demo_truth(video: Path) -> DemoTruth:
    """The truth that lies beside a bundled clip. Raises InputError when a file is missing or damaged."""
    return DemoTruth(
        load_record(video.with_suffix(".Clip.npz"), Clip),
        load_record(video.with_suffix(".Camera.npz"), Camera),
        load_record(video.with_suffix(".BodyMotion.npz"), BodyMotion),
    )


def truth_of_result(out: Path) -> BodyMotion | None:
    """The true motion with the people in the order of the result in `out`, camera frame.

    None when the result is on another body or has other people or frames. Raises InputError without a result.
    """
    truth, saved = load_demo_truth(find_model(HUG_CLIP)), load_saved_motion(out, "optimised")
    if saved.body_path is not None or saved.motion.valid.shape != truth.motion.valid.shape:
        return None
    body = load_bundled_body("std")
    true, found = (
        without_absent(lsp_joints(motion_joints(motion, body)), motion.valid) for motion in (truth.motion, saved.motion)
    )
    return truth.motion.people(match_people(true, found))


def write_demo(folder: Path, progress: Progress) -> DemoTruth:
    """Render the clip to `folder`, with its truth beside it. Raises OutputError when a file cannot be written."""
    scene, video = demo_scene(), folder / Path(HUG_CLIP).name
    with tempfile.TemporaryDirectory() as temporary:
        rendered = Path(temporary) / video.name
        render_video(scene, rendered, _VIDEO_SEED, progress)
        compress_video(rendered, video)
    clip = replace(open_clip(video, ClipConfig()), path=Path(video.name))
    for record in (clip, scene.camera, scene.motion):
        save_record(video.with_suffix(f".{type(record).__name__}.npz"), record)
    return load_demo_truth(video)


def compress_video(source: Path, target: Path) -> None:
    """Write a video again, small enough to be bundled. Raises InputError and OutputError for files that fail."""
    clip = open_clip(source, ClipConfig())
    write_video(read_frames(clip), target, clip.times, crf=_CRF)


def demo_scene() -> SimulatedScene:
    """The scene of the clip. Raises InputError when its benchmark window is missing."""
    windows = [window for window in find_windows(None) if window.name == _WINDOW]
    if not windows:
        raise InputError(f"no benchmark window {_WINDOW}; reinstall closemesh")
    sequence, body = windows[0].read().frames(_FRAMES), load_body(None)
    return make_scene(sequence, body, _CAMERA_SEED, fitting_betas(sequence, body))


def score_demo(out: Path, progress: Progress) -> dict[Metric, float]:
    """Errors of the result in `out` against the truth of the embrace, in the unit of each metric.

    Raises InputError when there is no result of this clip in `out`.
    """
    truth, saved = load_demo_truth(find_model(HUG_CLIP)), load_saved_motion(out, "optimised")
    if saved.clip.sha256 != truth.clip.sha256:
        raise InputError(f"{out} is the result of another clip; give an empty folder with -o")
    body_true = load_bundled_body("std")
    result = PosedMotion(saved.motion, load_body(saved.body_path), saved.clip.times, saved.camera)
    true = PosedMotion(truth.motion, body_true, truth.clip.times, truth.camera)
    scores = evaluate(result, true, progress)
    return {METRIC[name]: scores[name] for name in _SHOWN if name in scores}
