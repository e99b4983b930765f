"""The real detector on films whose truth is known."""

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
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.simulation.detections import nearest_partner
from closemesh.lab.simulation.occlusion import hidden_points, outside
from closemesh.lab.simulation.rendered_video import render_film
from closemesh.lab.simulation.scene import SimulatedScene, make_scene, true_points
from closemesh.lab.simulation.statistics import person_size
from closemesh.motion_files.sequence import MotionSequence
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.observe import ObservationBuilder, estimate_crops, select_tracks, track_scores
from closemesh.structures import NUM_CUE_POINTS
from closemesh.video import open_clip

_SAME_PERSON = (
    0.25  # Of the person's size: a detection whose points lie nearer than this in the mean shows that person.
)


@dataclass(frozen=True)
class GroundTruth:
    """What a film shows."""

    pixels: Floats
    """[T, P, 23, 2]."""
    points_cam: Floats
    """[T, P, 23, 3] metres."""
    hidden: Bools
    """[T, P, 23]."""
    outside: Bools
    """[T, P, 23] outside the picture."""
    size: Floats
    """[T, P] `person_size`."""
    partner: Floats
    """[T, P, 23, 2] pixels of the nearest other person; nan where there is none."""
    valid: Bools
    """[T, P]."""


@dataclass(frozen=True)
class Detections:
    """What was detected of the same people; zeros where nothing was."""

    raw: Floats
    """[T, P, 23, 3] before rival claims are settled."""
    keypoints: Floats
    """[T, P, 23, 3] as the observation stage gives them."""
    spread: Floats
    """[T, P, 23] distance between the two looks, of the box diagonal."""
    boxes: Floats
    """[T, P, 4]."""
    cue_points: Floats
    """[T, P, 23, 4]."""
    visible: Bools
    """[T, P]."""
    track_scores: Floats
    """[T, P]."""


@dataclass(frozen=True)
class Measured:
    """One film."""

    truth: GroundTruth
    detected: Detections
    found: Bools
    """[P] people who were given a track."""
    fps: float


@dataclass(frozen=True)
class FilmConfig:
    """How many films are made of captured motion, and how long they are."""

    films: int = 40
    frames: int = 60
    pairs: float = 0.65
    """Share of films that show two people, where the data has both kinds."""
    seed: int = 0


def measure_films(files: list[Path], config: FilmConfig, progress: Progress) -> list[Measured]:
    """Render films of random stretches of these motion files and run the observation stage on each.

    Raises InputError when there is no motion of enough frames.
    """
    return [film for _, film in each_film(files, config, progress)]


def each_film(files: list[Path], config: FilmConfig, progress: Progress) -> Iterator[tuple[SimulatedScene, Measured]]:
    """The same one by one, with the scene that each film shows."""
    body = load_bundled_body("light")
    with progress.task("films", config.films) as advance, tempfile.TemporaryDirectory() as folder:
        for number, sequence in enumerate(random_stretches(files, config)):
            scene = make_scene(sequence, body, config.seed + number)
            path = Path(folder) / "film.mp4"
            render_film(scene, path, config.seed + number, NullProgress())
            yield scene, observe_film(scene, path)
            advance(1)


def random_stretches(files: list[Path], config: FilmConfig) -> Iterator[MotionSequence]:
    """`config.films` stretches of `config.frames` frames in which everybody is there; files are used evenly."""
    rng = np.random.default_rng(config.seed)
    kinds: dict[bool, list[Path]] = {True: [], False: []}
    for path in files:
        sequence = read_motion(path)
        if len(sequence) >= config.frames:
            kinds[sequence.num_people > 1].append(path)
    if not kinds[True] and not kinds[False]:
        raise InputError(
            f"no motion of at least {config.frames} frames among {len(files)} files; give more with --data"
        )
    waiting: dict[bool, list[Path]] = {True: [], False: []}
    made = 0
    while made < config.films:
        several = bool(rng.random() < config.pairs) if kinds[True] and kinds[False] else bool(kinds[True])
        if not waiting[several]:
            waiting[several] = [kinds[several][k] for k in rng.permutation(len(kinds[several]))]
        sequence = read_motion(waiting[several].pop())
        start = int(rng.integers(len(sequence) - config.frames + 1))
        made += 1
        yield sequence.frames(slice(start, start + config.frames))


def observe_film(scene: SimulatedScene, path: Path) -> Measured:
    """Everything the real detector says about the film of a scene, next to the truth."""
    clip = open_clip(path, ClipConfig(fps=scene.clip.fps))
    truth = find_truth(scene)
    silent, detector = NullProgress(), MediaPipeDetector()
    try:
        people = select_tracks(clip, detector, ObserveConfig(masks=False), silent)
    except InputError:  # Nobody was found.
        return Measured(truth, _nothing(truth), np.zeros(truth.valid.shape[1], bool), clip.fps)
    record = ObservationBuilder(clip, len(people))
    estimate_crops(clip, detector, people, record, None, silent)
    observations = record.finish(track_scores(people, len(clip)), detector.name)
    diagonal = np.linalg.norm(record.boxes[..., 2:] - record.boxes[..., :2], axis=-1)
    tracks = Detections(
        raw=record.keypoints[:, :, :NUM_CUE_POINTS],
        keypoints=observations.keypoints[:, :, :NUM_CUE_POINTS],
        spread=record.spread[:, :, :NUM_CUE_POINTS] / np.maximum(diagonal, 1)[..., None],
        boxes=observations.boxes,
        cue_points=observations.keypoints3d,
        visible=observations.detected,
        track_scores=observations.track_confidence,
    )
    return _matched(truth, tracks, clip.fps)


def find_truth(scene: SimulatedScene) -> GroundTruth:
    """What the detector should say."""
    points, valid = true_points(scene), scene.motion.valid
    pixels = torch.as_tensor(points.pixels)
    return GroundTruth(
        pixels=points.pixels,
        points_cam=points.points_cam,
        hidden=hidden_points(scene),
        outside=outside(points.pixels, scene.camera.size),
        size=person_size(pixels).numpy(),
        partner=nearest_partner(pixels, torch.as_tensor(valid)).numpy(),
        valid=valid,
    )


def _matched(truth: GroundTruth, tracks: Detections, fps: float) -> Measured:
    """Tracks in the order of the true people: each person gets the track that shows them in most frames."""
    votes = _frames_together(truth, tracks)  # [P, tracks]
    people, chosen = linear_sum_assignment(-votes)
    enough = votes[people, chosen] > 0
    people, chosen = people[enough], chosen[enough]
    found = np.zeros(votes.shape[0], bool)
    found[people] = True
    detected = _nothing(truth)
    for name, array in vars(detected).items():
        array[:, people] = getattr(tracks, name)[:, chosen]
    return Measured(truth, detected, found, fps)


def _frames_together(truth: GroundTruth, tracks: Detections) -> Floats:
    """[P, tracks] frames in which a track lies on a person, and nearer than on any other."""
    apart = mean_distance(tracks.raw[:, None], truth.pixels[:, :, None]) / truth.size[..., None]  # [T, P, tracks]
    apart = np.where(truth.valid[..., None] & tracks.visible[:, None], apart, np.inf)
    nearest = apart == apart.min(1, keepdims=True)
    return (nearest & (apart < _SAME_PERSON)).sum(0)


def mean_distance(keypoints: Floats, pixels: Floats) -> Floats:
    """[...] mean distance in pixels of detected keypoints [..., K, 3] from points [..., K, 2], weighted by confidence.

    nan where nothing was detected.
    """
    weight = keypoints[..., 2]
    apart = np.linalg.norm(keypoints[..., :2] - pixels, axis=-1)
    with np.errstate(invalid="ignore"):
        return (weight * apart).sum(-1) / weight.sum(-1)


def _nothing(truth: GroundTruth) -> Detections:
    """Nobody detected."""
    people = truth.valid.shape
    return Detections(
        raw=np.zeros((*people, NUM_CUE_POINTS, 3)),
        keypoints=np.zeros((*people, NUM_CUE_POINTS, 3)),
        spread=np.zeros((*people, NUM_CUE_POINTS)),
        boxes=np.zeros((*people, 4)),
        cue_points=np.zeros((*people, NUM_CUE_POINTS, 4)),
        visible=np.zeros(people, bool),
        track_scores=np.zeros(people),
    )
