"""Windows, simulated or rendered observations, track matching.

The windows of captured motion that the benchmark films: bundled ones, and those of a user's held-out trials.

Which of the people that were found is which of the true ones.

What the pipeline gets to see of a benchmark scene, and how that hangs together with the truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.config.schema import Config
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.registry import read_motion, split_motion_files
from closemesh.lab.evaluation.evaluate import pair_times
from closemesh.lab.simulation.detections import simulate_observations
from closemesh.lab.simulation.occlusion import outside_image
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.motion_files.sequence import MotionSequence
from closemesh.perception.observe import observe
from closemesh.structures import BodyMotion, Clip, Observations
from closemesh.video import open_clip
from closemesh.weights.locate import model_folders

WINDOW = 64
"""Frames of a window that is cut out of a trial."""
QUICK_WINDOWS = 8
_FOLDER = "benchmark"


@dataclass(frozen=True)
class Window:
    """Some frames of a motion file."""

    name: str
    """Unique in the benchmark, and the same in every run."""
    path: Path
    kind: str
    start: int
    stop: int

    def read(self) -> MotionSequence:
        """The motion. Raises InputError."""
        return read_motion(self.path).frames(slice(self.start, self.stop))


def find_windows(
    data: Path | None, kinds: Collection[str] = (), limit: int | None = None, quick: bool = False
) -> list[Window]:
    """The bundled windows, and with `data` those of its held-out trials of two people; sorted by name.

    `kinds` keeps only those, `quick` a few that stay the same, one of each kind after the other, `limit` the first so
    many. Raises InputError when none is left.
    """
    windows = [*_bundled(), *(_of_trials(data) if data else ())]
    there = sorted({window.kind for window in windows})
    unknown = sorted(set(kinds) - set(there))
    if unknown:
        raise InputError(f"no windows of the kind {', '.join(unknown)}; there are {', '.join(there) or 'none'}")
    chosen = sorted((w for w in windows if not kinds or w.kind in kinds), key=lambda window: window.name)
    if quick:
        chosen = _spread_over_kinds(chosen, QUICK_WINDOWS)
    if not chosen:
        raise InputError("no bundled benchmark windows found; give a folder with captured motion with --data")
    return chosen[:limit]


def _bundled() -> Iterator[Window]:
    folder = next((path for folder in model_folders() if (path := folder / _FOLDER).is_dir()), None)
    for path in sorted(folder.glob("*.npz")) if folder else ():
        sequence = read_motion(path)
        yield Window(path.stem, path, _kind(sequence), 0, len(sequence))


def _kind(sequence: MotionSequence) -> str:
    """The action without what stands in brackets behind it."""
    return sequence.action.partition("(")[0].strip() or "other"


def _of_trials(data: Path) -> Iterator[Window]:
    """Whole held-out trials of two people, cut into windows without overlap in which both are there."""
    _, held_out = split_motion_files(data)
    for path in held_out:
        sequence = read_motion(path)
        if sequence.num_people < 2:
            continue
        for start in range(0, len(sequence) - WINDOW + 1, WINDOW):
            if sequence.valid[start : start + WINDOW].all():
                name = f"{path.stem}_{start:05d}"
                yield Window(name, path, _kind(sequence), start, start + WINDOW)


def _spread_over_kinds(windows: list[Window], count: int) -> list[Window]:
    """The first window of each kind, then the second of each, and so on; of too many kinds some, evenly by name."""
    of_kind: dict[str, list[Window]] = {}
    for window in windows:
        of_kind.setdefault(window.kind, []).append(window)
    kinds = sorted(of_kind)
    kinds = [kinds[k * len(kinds) // count] for k in range(count)] if len(kinds) > count else kinds
    turns = itertools.zip_longest(*(of_kind[kind] for kind in kinds))
    chosen = [window for turn in turns for window in turn if window is not None]
    return sorted(chosen[:count], key=lambda window: window.name)


NEAR = 0.2
"""Mean distance of the 17 body keypoints, in diagonals of the person's box, below which a person counts as found."""
_BODY = 17


@dataclass(frozen=True)
class TrackMatch:
    """True people and the tracks that follow them."""

    tracks: tuple[int | None, ...]
    """For each true person the track; None for somebody whom no track follows."""
    found: Bools
    """[T, P] the track of the person is where the person is in this frame."""


def match_tracks(keypoints: Floats, visible: Bools, true_pixels: Floats, valid: Bools) -> TrackMatch:
    """Tracks and people put together so that as many frames as possible agree, each track with one person.

    keypoints [T, Q, K, 3] with confidence and visible [T, Q] of the tracks, true_pixels [T, P, K, 2] and valid [T, P]
    of the people. A track that goes over to another person is right only while it stays with its own.
    """
    near = _near(keypoints[:, :, :_BODY], visible, true_pixels[:, :, :_BODY], valid)  # [T, Q, P]
    agreement = near.sum(0)
    tracks: list[int | None] = [None] * agreement.shape[1]
    found = np.zeros(valid.shape, bool)
    for track, person in zip(*linear_sum_assignment(agreement, maximize=True), strict=True):
        if agreement[track, person]:
            tracks[person] = int(track)
            found[:, person] = near[:, track, person]
    return TrackMatch(tuple(tracks), found)


def _near(keypoints: Floats, visible: Bools, true_pixels: Floats, valid: Bools) -> Bools:
    """[T, Q, P]."""
    size = np.linalg.norm(np.ptp(true_pixels, axis=2), axis=-1)  # [T, P]
    distance = np.linalg.norm(keypoints[:, :, None, :, :2] - true_pixels[:, None], axis=-1)  # [T, Q, P, 17]
    seen = (keypoints[..., 2] > 0)[:, :, None]
    count = seen.sum(-1)
    mean = np.where(seen, distance, 0).sum(-1) / np.maximum(count, 1)
    return (count > 0) & (mean < NEAR * size[:, None]) & visible[:, :, None] & valid[:, None]


def people_of(motion: BodyMotion, people: TrackMatch) -> BodyMotion:
    """The motion of the true people in their order; who was not found is not valid."""
    order = [track or 0 for track in people.tracks]
    names = ("rotations", "transl", "expression", "valid", "confidence")
    chosen = motion.with_pose(betas=motion.betas[order], **{name: getattr(motion, name)[:, order] for name in names})
    return replace(chosen, valid=chosen.valid & people.found)


Source = Literal["keypoints", "pixels"]

MASKS = "masks"
_NUM_BODY = 17


@dataclass(frozen=True)
class SceneObservations:
    """Observations of a scene."""

    clip: Clip
    observations: Observations
    people: TrackMatch
    """Over the frames that are paired below."""
    frames: np.ndarray
    """[T] frames of the clip that show ..."""
    true_frames: np.ndarray
    """[T] ... these frames of the scene."""
    found: int
    """Of the people in the picture, frame by frame, how many were detected."""


def observe_keypoints(scene: SimulatedScene, seed: int) -> SceneObservations:
    """Simulated detections; who is who is known."""
    observations = simulate_observations(scene, seed).observations
    frames = np.arange(len(scene.clip))
    everybody = TrackMatch(tuple(range(scene.motion.num_people)), np.ones_like(scene.motion.valid))
    return SceneObservations(scene.clip, observations, everybody, frames, frames, _count(scene, observations.detected))


def observe_pixels(scene: SimulatedScene, config: Config, seed: int, folder: Path) -> SceneObservations | None:
    """A rendered film through the detector and the tracker; None when they find nobody.

    Film and masks are written to `folder`, and read again by later stages.
    """
    film = folder / "film.mp4"
    render_video(scene, film, seed, NullProgress())
    clip = open_clip(film, config.clip)
    try:
        observations = observe(clip, config.observe, folder / MASKS, NullProgress())
    except InputError:  # Nobody found.
        return None
    frames, true_frames = pair_times(clip.times, scene.clip.times)
    people = match_tracks(
        observations.keypoints[frames],
        observations.detected[frames],
        true_points(scene).pixels[true_frames],
        scene.motion.valid[true_frames],
    )
    found = np.zeros_like(scene.motion.valid)
    found[true_frames] = people.found
    return SceneObservations(clip, observations, people, frames, true_frames, _count(scene, found))


def in_picture(scene: SimulatedScene) -> Bools:
    """[T, P] at least half of the body keypoints are inside the picture: the person should be found."""
    gone = outside_image(true_points(scene).pixels[:, :, :_NUM_BODY], scene.camera.size)
    return scene.motion.valid & (gone.mean(-1) <= 0.5)


def _count(scene: SimulatedScene, found: Bools) -> int:
    return int((found & in_picture(scene)).sum())
