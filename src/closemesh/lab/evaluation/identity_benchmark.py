"""How well identities are kept: tracks of filmed windows, as they are and with exchanges put in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from closemesh.body.loading import load_body
from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation.benchmark_run import seed_of
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.evaluate import fitting_betas, pair_times
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, make_scene, true_points
from closemesh.perception.model_selection import make_detector, select_models
from closemesh.perception.observe import track_people
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks, swap_identities
from closemesh.perception.tracking.tracker import Track
from closemesh.perception.tracking.tracklets import MIN_TRACKLET, choose_tracks, link_tracklets
from closemesh.video import open_clip

INJECTED = 10  # Exchanges tried on each window, one at a time,
SHORTEST, LONGEST = 0.5, 1.5  # seconds each.
_TOLERANCE = 0.2  # Seconds at both ends of an exchange together that may be assigned wrongly.
_TRUNK = [5, 6, 11, 12]


@dataclass(frozen=True)
class IdentityFigures:
    """Of one window."""

    name: str
    wrong_before: int
    """Detections under the wrong number, as tracked, of `told` ..."""
    wrong_after: int
    """... and after doubles and swaps were undone."""
    told: int
    injected: int
    repaired: int


def measure_identities(windows: Sequence[Window], seed: int, progress: Progress) -> list[IdentityFigures]:
    """Figures of every window in which two people are tracked. Raises ClosemeshError."""
    figures = []
    with progress.task("identities", len(windows)) as advance:
        for window in windows:
            scene, tracks = _tracked(window, seed)
            if len(tracks) > 1:
                figures.append(_figures(window.name, scene, tracks, seed_of(window, seed)))
            advance(1)
    return figures


def _tracked(window: Window, seed: int) -> tuple[SimulatedScene, list[Track]]:
    """The window filmed, and its people followed through the film."""
    sequence, body = window.read(), load_body(None)
    scene = make_scene(sequence, body, seed_of(window, seed), fitting_betas(sequence, body))
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        render_video(scene, film, seed_of(window, seed) + 1, NullProgress())
        clip = open_clip(film, ClipConfig())
        followed = track_people(
            clip, make_detector(select_models(ObserveConfig()), torch.device("cpu")), NullProgress()
        )
    tracks = link_tracklets(followed, min(MIN_TRACKLET, len(clip)))
    return scene, choose_tracks(tracks, None) if tracks else []


def _figures(name: str, scene: SimulatedScene, tracks: list[Track], seed: int) -> IdentityFigures:
    fps, rng = scene.clip.fps, np.random.default_rng(seed)
    repaired_tracks, _ = fix_identity_switches(remove_duplicate_tracks(tracks)[0])
    before, told = wrong_detections(tracks, scene)
    after, _ = wrong_detections(repaired_tracks, scene)
    two = len(repaired_tracks) > 1
    tried = [injection_is_repaired(repaired_tracks, fps, rng) for _ in range(INJECTED)] if two else []
    known = [one for one in tried if one is not None]
    return IdentityFigures(name, before, after, told, len(known), sum(known))


def wrong_detections(tracks: Sequence[Track], scene: SimulatedScene) -> tuple[int, int]:
    """Detections that lie on another person than most of their track's do, and how many were judged.

    By the middle of the trunk, which tells who somebody is even when left is taken for right.
    """
    wrong = judged = 0
    points = true_points(scene).pixels[:, :, _TRUNK].mean(2)  # [T, P, 2]
    for track in tracks:
        frames, true_frames = pair_times(np.array(track.frames) / scene.clip.fps, scene.clip.times)
        middles = np.array([track.detections[k].keypoints[_TRUNK, :2].mean(0) for k in frames])
        apart = np.linalg.norm(middles[:, None] - points[true_frames], axis=-1)  # [N, P]
        clear = np.sort(apart, axis=1)[:, 0] < 0.5 * np.sort(apart, axis=1)[:, 1]
        nearest = apart.argmin(1)[clear]
        judged += len(nearest)
        wrong += len(nearest) - np.bincount(nearest, minlength=1).max() if len(nearest) else 0
    return int(wrong), judged


def injection_is_repaired(tracks: Sequence[Track], fps: float, rng: np.random.Generator) -> bool | None:
    """Whether a random exchange of the first two tracks is undone; None when they are not seen together long enough."""
    a, b = tracks[:2]
    common = sorted(set(a.frames) & set(b.frames))
    length = round(fps * rng.uniform(SHORTEST, LONGEST))
    if len(common) <= 2 * length:  # The longer part is what tells who is who.
        return None
    start = int(rng.integers(len(common) - length))
    (one, _), _ = fix_identity_switches(list(swap_identities(a, b, set(common[start : start + length]))))
    return min(_misplaced(one, a), _misplaced(one, b)) <= _TOLERANCE * fps


def _misplaced(found: Track, true: Track) -> int:
    """In how many frames of `true` the other one has not its box."""
    boxes: dict[int, Floats] = {frame: d.box for frame, d in zip(found.frames, found.detections, strict=True)}
    rows = zip(true.frames, true.detections, strict=True)
    return sum(frame not in boxes or not np.array_equal(boxes[frame], d.box) for frame, d in rows)
