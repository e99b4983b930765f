"""The real detector on rendered videos with known ground truth."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from closemesh.body.loading import load_bundled_body
from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress, Progress
from closemesh.fitting.keypoint_tracks import keypoints3d_in_camera
from closemesh.geometry.camera import outside_image
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.simulation.detections import nearest_partner
from closemesh.lab.simulation.occlusion import hidden_points
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, make_scene, true_points
from closemesh.lab.simulation.statistics import person_size
from closemesh.motion_files.sequence import MotionSequence
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.observation_builder import ObservationBuilder
from closemesh.perception.observe import estimate_crops, select_tracks, track_confidence
from closemesh.structures import NUM_KEYPOINTS3D
from closemesh.video import open_clip

_SAME_PERSON = 0.25  # Fraction of the person's size: maximal mean distance of a detection that shows the person.


@dataclass(frozen=True)
class GroundTruth:
    """The people of a video."""

    pixels: Floats
    """[T, P, 23, 2]."""
    points_cam: Floats
    """[T, P, 23, 3] meters, camera frame."""
    hidden: Bools
    """[T, P, 23]."""
    outside: Bools
    """[T, P, 23] outside the image."""
    size: Floats
    """[T, P] `person_size`, pixels."""
    partner: Floats
    """[T, P, 23, 2] pixels of the nearest other person; nan without one."""
    valid: Bools
    """[T, P] the person is present."""


@dataclass(frozen=True)
class Detections:
    """Detections of the same people; zeros where nothing was detected."""

    raw: Floats
    """[T, P, 23, 3] before shared keypoints are resolved."""
    keypoints: Floats
    """[T, P, 23, 3] of Observations."""
    disagreement: Floats
    """[T, P, 23] distance between detection and crop pose, of the box diagonal."""
    boxes: Floats
    """[T, P, 4]."""
    keypoints3d: Floats
    """[T, P, 23, 4]."""
    detected: Bools
    """[T, P]."""
    track_confidence: Floats
    """[T, P]."""


@dataclass(frozen=True)
class MeasuredVideo:
    """Ground truth and detections of one video."""

    truth: GroundTruth
    detections: Detections
    found: Bools
    """[P] people with a track."""
    fps: float


@dataclass(frozen=True)
class VideoConfig:
    """Number and length of the videos that are rendered from captured motion."""

    num_videos: int = 40
    num_frames: int = 60
    pair_fraction: float = 0.65
    """Fraction of videos with two people, where the data has both kinds."""
    seed: int = 0


def measure_videos(files: list[Path], config: VideoConfig, progress: Progress) -> list[MeasuredVideo]:
    """Render videos of random clips of these motion files and run stage `observe` on each.

    Raises InputError when there is no motion of enough frames.
    """
    return [video for _, video in iterate_videos(files, config, progress)]


def iterate_videos(
    files: list[Path], config: VideoConfig, progress: Progress
) -> Iterator[tuple[SimulatedScene, MeasuredVideo]]:
    """The measured videos one by one, each with its scene. Raises InputError as `measure_videos`."""
    body = load_bundled_body("light")
    with progress.task("videos", config.num_videos) as advance, tempfile.TemporaryDirectory() as folder:
        for number, sequence in enumerate(random_clips(files, config)):
            scene = make_scene(sequence, body, config.seed + number)
            path = Path(folder) / "video.mp4"
            render_video(scene, path, config.seed + number, NullProgress())
            yield scene, measure_video(scene, path)
            advance(1)


def random_clips(files: list[Path], config: VideoConfig) -> Iterator[MotionSequence]:
    """Random clips of the motion files, which are used equally often.

    Raises InputError when no file has enough frames.
    """
    rng = np.random.default_rng(config.seed)
    by_kind: dict[bool, list[Path]] = {True: [], False: []}  # True: more than one person.
    for path in files:
        sequence = read_motion(path)
        if len(sequence) >= config.num_frames:
            by_kind[sequence.num_people > 1].append(path)
    if not by_kind[True] and not by_kind[False]:
        raise InputError(
            f"no motion of at least {config.num_frames} frames among {len(files)} files; give more with --data"
        )
    queue: dict[bool, list[Path]] = {True: [], False: []}
    for _ in range(config.num_videos):
        both_kinds = by_kind[True] and by_kind[False]
        several = bool(rng.random() < config.pair_fraction) if both_kinds else bool(by_kind[True])
        if not queue[several]:
            queue[several] = [by_kind[several][k] for k in rng.permutation(len(by_kind[several]))]
        sequence = read_motion(queue[several].pop())
        start = int(rng.integers(len(sequence) - config.num_frames + 1))
        yield sequence.frames(slice(start, start + config.num_frames))


def measure_video(scene: SimulatedScene, path: Path) -> MeasuredVideo:
    """Detections of the real detector in the rendered video of a scene, with the ground truth."""
    clip = open_clip(path, ClipConfig(fps=scene.clip.fps))
    truth = ground_truth(scene)
    progress, detector = NullProgress(), MediaPipeDetector()
    try:
        people = select_tracks(clip, detector, ObserveConfig(masks=False), progress)
    except InputError:  # No person was found.
        return MeasuredVideo(truth, _no_detections(truth), np.zeros(truth.valid.shape[1], bool), clip.fps)
    builder = ObservationBuilder(clip, len(people))
    estimate_crops(clip, detector, people, builder, progress)
    observations = builder.finish(track_confidence(people, len(clip)), detector.name)
    diagonal = np.linalg.norm(builder.boxes[..., 2:] - builder.boxes[..., :2], axis=-1)
    tracks = Detections(
        raw=builder.keypoints[:, :, :NUM_KEYPOINTS3D],
        keypoints=observations.keypoints[:, :, :NUM_KEYPOINTS3D],
        disagreement=builder.disagreement[:, :, :NUM_KEYPOINTS3D] / np.maximum(diagonal, 1)[..., None],
        boxes=observations.boxes,
        keypoints3d=keypoints3d_in_camera(observations, scene.camera),
        detected=observations.detected,
        track_confidence=observations.track_confidence,
    )
    return _match_people(truth, tracks, clip.fps)


def ground_truth(scene: SimulatedScene) -> GroundTruth:
    """Ground truth of a scene in the image and in the camera frame."""
    points, valid = true_points(scene), scene.motion.valid
    pixels = torch.as_tensor(points.pixels)
    return GroundTruth(
        pixels=points.pixels,
        points_cam=points.points_cam,
        hidden=hidden_points(scene),
        outside=outside_image(points.pixels, scene.camera.size),
        size=person_size(pixels).numpy(),
        partner=nearest_partner(pixels, torch.as_tensor(valid)).numpy(),
        valid=valid,
    )


def _match_people(truth: GroundTruth, tracks: Detections, fps: float) -> MeasuredVideo:
    """Tracks in the order of the true people: each person gets the track that shows the person in most frames."""
    votes = _common_frames(truth, tracks)  # [P, tracks]
    people, chosen = linear_sum_assignment(-votes)
    enough = votes[people, chosen] > 0
    people, chosen = people[enough], chosen[enough]
    found = np.zeros(votes.shape[0], bool)
    found[people] = True
    matched = _no_detections(truth)
    for name, array in vars(matched).items():
        array[:, people] = getattr(tracks, name)[:, chosen]
    return MeasuredVideo(truth, matched, found, fps)


def _common_frames(truth: GroundTruth, tracks: Detections) -> Floats:
    """[P, tracks] frames in which a track lies on a person, and nearer than on any other."""
    distance = mean_distance(tracks.raw[:, None], truth.pixels[:, :, None]) / truth.size[..., None]  # [T, P, tracks]
    distance = np.where(truth.valid[..., None] & tracks.detected[:, None], distance, np.inf)
    nearest = distance == distance.min(1, keepdims=True)
    return (nearest & (distance < _SAME_PERSON)).sum(0)


def mean_distance(keypoints: Floats, pixels: Floats) -> Floats:
    """[...] mean distance in pixels of detected keypoints [..., K, 3] from pixels [..., K, 2], weighted by confidence.

    nan where nothing was detected.
    """
    weight = keypoints[..., 2]
    distance = np.linalg.norm(keypoints[..., :2] - pixels, axis=-1)
    with np.errstate(invalid="ignore"):
        return (weight * distance).sum(-1) / weight.sum(-1)


def _no_detections(truth: GroundTruth) -> Detections:
    people = truth.valid.shape
    return Detections(
        raw=np.zeros((*people, NUM_KEYPOINTS3D, 3)),
        keypoints=np.zeros((*people, NUM_KEYPOINTS3D, 3)),
        disagreement=np.zeros((*people, NUM_KEYPOINTS3D)),
        boxes=np.zeros((*people, 4)),
        keypoints3d=np.zeros((*people, NUM_KEYPOINTS3D, 4)),
        detected=np.zeros(people, bool),
        track_confidence=np.zeros(people),
    )
