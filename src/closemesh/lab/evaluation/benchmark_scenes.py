"""Benchmark windows, simulated or rendered observations of them, and the matching of tracks to true people."""

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
from closemesh.geometry.camera import outside_image
from closemesh.lab.datasets.registry import TEST_KINDS, read_motion, split_motion_files
from closemesh.lab.evaluation.evaluate import pair_times
from closemesh.lab.simulation.detections import simulate_observations
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, true_points
from closemesh.motion_files.sequence import MotionSequence
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import Observe, run_stages
from closemesh.pipeline.state import PipelineState
from closemesh.structures import BodyMotion, Clip, Observations
from closemesh.video import open_clip
from closemesh.weights.locate import model_folders

Source = Literal["keypoints", "pixels"]
"""What the pipeline gets: simulated detections, or a rendered video."""
Focal = Literal["estimated", "known"]
"""Whether the pipeline estimates the focal length, as for a user's clip, or gets the true one, as in the papers."""

WINDOW = 64
"""Frames of a window that is cut out of a longer recording."""
QUICK_WINDOWS = 8
HELD_OUT = "held-out"
"""Among kinds of windows: all of TEST_KINDS."""
MATCH_DISTANCE = 0.2
"""Mean distance of the body keypoints, in diagonals of the person's box, below which a track is on the person."""
_FOLDER = "benchmark"
_NUM_BODY = 17  # Keypoints of COCO.


@dataclass(frozen=True)
class Window:
    """Consecutive frames of a motion file."""

    name: str
    """Unique in the benchmark, and the same in every run."""
    path: Path
    kind: str
    start: int
    stop: int

    def read(self) -> MotionSequence:
        """The motion. Raises InputError when the file cannot be read."""
        return read_motion(self.path).frames(slice(self.start, self.stop))


def find_windows(
    data: Path | None,
    kinds: Collection[str] = (),
    limit: int | None = None,
    quick: bool = False,
    folder: Path | None = None,
) -> list[Window]:
    """The bundled windows, and those of the test split of the folder `data` with two people; sorted by name.

    Kinds that no network was trained on (`TEST_KINDS`) come last. kinds: only these, all if empty; HELD_OUT stands for
    TEST_KINDS. quick: a fixed selection over all kinds, TEST_KINDS only when named. limit: only the first ones.
    folder: of windows that replace the bundled ones. Raises InputError when a kind is unknown or no window is left.
    """
    windows = [*(_windows_in(folder) if folder else _bundled()), *(_of_recordings(data) if data else ())]
    kinds = [name for kind in kinds for name in (TEST_KINDS if kind == HELD_OUT else (kind,))]
    known = sorted({window.kind for window in windows})
    unknown = sorted(set(kinds) - set(known))
    if unknown:
        raise InputError(f"no windows of the kind {', '.join(unknown)}; there are {', '.join(known) or 'none'}")
    selected = [window for window in windows if not kinds or window.kind in kinds]
    selected.sort(key=lambda window: (window.kind in TEST_KINDS, window.name))
    if quick:
        learned = [window for window in selected if kinds or window.kind not in TEST_KINDS]
        selected = _balanced_by_kind(learned, QUICK_WINDOWS)
    if not selected:
        raise InputError("no bundled benchmark windows found; give a folder with captured motion with --data")
    return selected[:limit]


def _bundled() -> Iterator[Window]:
    folder = next((path for folder in model_folders() if (path := folder / _FOLDER).is_dir()), None)
    if folder is not None:
        yield from _windows_in(folder)


def _windows_in(folder: Path) -> Iterator[Window]:
    """Each motion file of the folder as one window."""
    for path in sorted(folder.glob("*.npz")):
        sequence = read_motion(path)
        yield Window(path.stem, path, _kind(sequence), 0, len(sequence))


def _kind(sequence: MotionSequence) -> str:
    """The action without the part in brackets."""
    return sequence.action.partition("(")[0].strip() or "other"


def _of_recordings(data: Path) -> Iterator[Window]:
    """Recordings of the test split with two people, cut into windows without overlap; both people are always valid."""
    _, test_files = split_motion_files(data)
    for path in test_files:
        sequence = read_motion(path)
        if sequence.num_people < 2:
            continue
        for start in range(0, len(sequence) - WINDOW + 1, WINDOW):
            if sequence.valid[start : start + WINDOW].all():
                name = f"{path.stem}_{start:05d}"
                yield Window(name, path, _kind(sequence), start, start + WINDOW)


def _balanced_by_kind(windows: list[Window], count: int) -> list[Window]:
    """`count` windows: the first of each kind, then the second of each, and so on.

    With more kinds than `count`, every n-th kind by name.
    """
    by_kind: dict[str, list[Window]] = {}
    for window in windows:
        by_kind.setdefault(window.kind, []).append(window)
    kinds = sorted(by_kind)
    kinds = [kinds[k * len(kinds) // count] for k in range(count)] if len(kinds) > count else kinds
    rounds = itertools.zip_longest(*(by_kind[kind] for kind in kinds))
    selected = [window for one_round in rounds for window in one_round if window is not None]
    return sorted(selected[:count], key=lambda window: window.name)


def with_known_focal(config: Config, focal: float) -> Config:
    """The configuration with the true focal length in pixels, as in the protocol of the papers."""
    return replace(config, initialise=replace(config.initialise, focal=focal))


@dataclass(frozen=True)
class TrackMatch:
    """The track that follows each true person."""

    tracks: tuple[int | None, ...]
    """[P] index of the track; None for a person without a track."""
    found: Bools
    """[T, P] True where the track is on the person in this frame."""


def match_tracks(keypoints: Floats, detected: Bools, true_pixels: Floats, valid: Bools) -> TrackMatch:
    """The assignment of tracks to people with the best agreement; each track follows at most one person.

    keypoints [T, Q, K, 3] pixels and confidence, detected [T, Q], of the tracks; true_pixels [T, P, K, 2], valid
    [T, P], of the people. A track that switches to another person counts only while it is on its own person. In an
    embrace every track is near both people, so that nearer frames count more.
    """
    closeness = _closeness(keypoints[:, :, :_NUM_BODY], detected, true_pixels[:, :, :_NUM_BODY], valid)  # [T, Q, P]
    agreement = closeness.sum(0)
    tracks: list[int | None] = [None] * agreement.shape[1]
    found = np.zeros(valid.shape, bool)
    for track, person in zip(*linear_sum_assignment(agreement, maximize=True), strict=True):
        if agreement[track, person]:
            tracks[person] = int(track)
            found[:, person] = closeness[:, track, person] > 0
    return TrackMatch(tuple(tracks), found)


def _closeness(keypoints: Floats, detected: Bools, true_pixels: Floats, valid: Bools) -> Floats:
    """[T, Q, P] 1 where a track is exactly on a person, falling to 0 at MATCH_DISTANCE."""
    size = np.linalg.norm(np.ptp(true_pixels, axis=2), axis=-1)  # [T, P]
    distance = np.linalg.norm(keypoints[:, :, None, :, :2] - true_pixels[:, None], axis=-1)  # [T, Q, P, 17]
    estimated = (keypoints[..., 2] > 0)[:, :, None]
    count = estimated.sum(-1)
    mean = np.where(estimated, distance, 0).sum(-1) / np.maximum(count, 1)
    closeness = np.clip(1 - mean / np.maximum(MATCH_DISTANCE * size[:, None], 1e-9), 0, 1)
    return closeness * ((count > 0) & detected[:, :, None] & valid[:, None])


def select_matched(motion: BodyMotion, match: TrackMatch) -> BodyMotion:
    """The motion of the matched tracks in the order of the true people; not valid where a person is not found.

    motion: of all tracks, over the frames of `match`.
    """
    selected = motion.people([track or 0 for track in match.tracks])
    return replace(selected, valid=selected.valid & match.found)


@dataclass(frozen=True)
class SceneObservations:
    """Observations of a simulated scene, and how they correspond to it."""

    clip: Clip
    observations: Observations
    match: TrackMatch
    """Over the paired frames below."""
    frames: np.ndarray
    """[T] frames of the clip ..."""
    true_frames: np.ndarray
    """[T] ... and the frames of the scene at the same time."""
    found: int
    """Detected people in the image, counted frame by frame."""


def observe_keypoints(scene: SimulatedScene, seed: int) -> SceneObservations:
    """Simulated detections of the scene; tracks and people have the same order."""
    observations = simulate_observations(scene, seed).observations
    frames = np.arange(len(scene.clip))
    match = TrackMatch(tuple(range(scene.motion.num_people)), np.ones_like(scene.motion.valid))
    return SceneObservations(scene.clip, observations, match, frames, frames, _count(scene, observations.detected))


def observe_pixels(scene: SimulatedScene, ctx: RunContext, seed: int, folder: Path) -> SceneObservations | None:
    """A video rendered to `folder`, through the stage `observe`; None when it finds no people.

    ctx: its clip is replaced by the video; the stage writes masks below the folder of its cache.
    """
    path = folder / "video.mp4"
    render_video(scene, path, seed, NullProgress())
    clip = open_clip(path, ctx.config.clip)
    try:
        [(_, state)] = run_stages(replace(ctx, clip=clip), PipelineState(), (Observe(),))
    except InputError:  # No people found.
        return None
    assert state.observations is not None
    frames, true_frames = pair_times(clip.times, scene.clip.times)
    match = match_tracks(
        state.observations.keypoints[frames],
        state.observations.detected[frames],
        true_points(scene).pixels[true_frames],
        scene.motion.valid[true_frames],
    )
    found = np.zeros_like(scene.motion.valid)
    found[true_frames] = match.found
    return SceneObservations(clip, state.observations, match, frames, true_frames, _count(scene, found))


def in_image(scene: SimulatedScene) -> Bools:
    """[T, P] True where at least half of a person's body keypoints are inside the image: it should be detected."""
    out_of_image = outside_image(true_points(scene).pixels[:, :, :_NUM_BODY], scene.camera.size)
    return scene.motion.valid & (out_of_image.mean(-1) <= 0.5)


def _count(scene: SimulatedScene, found: Bools) -> int:
    return int((found & in_image(scene)).sum())
