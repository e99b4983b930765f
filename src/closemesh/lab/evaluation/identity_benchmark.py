"""Identity switches of the tracker on rendered windows: those it makes, and artificial ones that are repaired."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.body.loading import load_body
from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation.benchmark_run import seed_of
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.evaluate import fitting_betas, pair_times
from closemesh.lab.evaluation.report import current_commit
from closemesh.lab.simulation.rendered_video import render_video
from closemesh.lab.simulation.scene import SimulatedScene, make_scene, true_points
from closemesh.perception.model_selection import make_detector, select_models
from closemesh.perception.observe import track_people
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks, swap_identities
from closemesh.perception.tracking.tracker import Track
from closemesh.perception.tracking.tracklets import MIN_TRACKLET, choose_tracks, link_tracklets
from closemesh.video import open_clip

INJECTED = 10  # Artificial switches of each window, one at a time.
MIN_SECONDS, MAX_SECONDS = 0.5, 1.5  # Duration of an artificial switch.
_TOLERANCE = 0.2  # Seconds of a repaired switch, at both ends together, that may be wrong.
_TRUNK = [5, 6, 11, 12]


@dataclass(frozen=True)
class IdentityCounts:
    """Counts of one window."""

    name: str
    wrong_before: int
    """Detections with the wrong track ID before identity switches are fixed, of `detections`."""
    wrong_after: int
    """The same after duplicate tracks are removed and identity switches are fixed."""
    detections: int
    """Detections that are clearly on one person."""
    injected: int
    """Artificial switches ..."""
    repaired: int
    """... and those of them that were fixed."""


def as_json(counts: Sequence[IdentityCounts], seed: int) -> dict[str, Any]:
    """The commit and the counts by their names in the JSON file."""
    return {"commit": current_commit(), "seed": seed, "windows": [asdict(one) for one in counts]}


def measure_identities(windows: Sequence[Window], seed: int, progress: Progress) -> list[IdentityCounts]:
    """The counts of every window in which two people are tracked. Raises ClosemeshError."""
    counts = []
    with progress.task("identities", len(windows)) as advance:
        for window in windows:
            scene, tracks = _tracked(window, seed)
            if len(tracks) > 1:
                counts.append(_count(window.name, scene, tracks, seed_of(window, seed)))
            advance(1)
    return counts


def _tracked(window: Window, seed: int) -> tuple[SimulatedScene, list[Track]]:
    """The scene of a window, and the tracks in its rendered video."""
    sequence, body = window.read(), load_body(None)
    scene = make_scene(sequence, body, seed_of(window, seed), fitting_betas(sequence, body))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        render_video(scene, path, seed_of(window, seed) + 1, NullProgress())
        clip = open_clip(path, ClipConfig())
        fragments = track_people(
            clip, make_detector(select_models(ObserveConfig()), torch.device("cpu")), NullProgress()
        )
    tracks = link_tracklets(fragments, min(MIN_TRACKLET, len(clip)))
    return scene, choose_tracks(tracks, None) if tracks else []


def _count(name: str, scene: SimulatedScene, tracks: list[Track], seed: int) -> IdentityCounts:
    fps, rng = scene.clip.fps, np.random.default_rng(seed)
    repaired_tracks, _ = fix_identity_switches(remove_duplicate_tracks(tracks)[0])
    before, detections = wrong_detections(tracks, scene)
    after, _ = wrong_detections(repaired_tracks, scene)
    several = len(repaired_tracks) > 1
    trials = [injection_is_repaired(repaired_tracks, fps, rng) for _ in range(INJECTED)] if several else []
    known = [one for one in trials if one is not None]
    return IdentityCounts(name, before, after, detections, len(known), sum(known))


def wrong_detections(tracks: Sequence[Track], scene: SimulatedScene) -> tuple[int, int]:
    """Detections on another person than most of their track, and the number of detections that were compared.

    Compared is the middle of the trunk, which a left-right flip does not change.
    """
    wrong = compared = 0
    points = true_points(scene).pixels[:, :, _TRUNK].mean(2)  # [T, P, 2]
    for track in tracks:
        frames, true_frames = pair_times(np.array(track.frames) / scene.clip.fps, scene.clip.times)
        middles = np.array([track.detections[k].keypoints[_TRUNK, :2].mean(0) for k in frames])
        distance = np.linalg.norm(middles[:, None] - points[true_frames], axis=-1)  # [N, P]
        clear = np.sort(distance, axis=1)[:, 0] < 0.5 * np.sort(distance, axis=1)[:, 1]
        nearest = distance.argmin(1)[clear]
        compared += len(nearest)
        wrong += len(nearest) - np.bincount(nearest, minlength=1).max() if len(nearest) else 0
    return int(wrong), compared


def injection_is_repaired(tracks: Sequence[Track], fps: float, rng: np.random.Generator) -> bool | None:
    """True when a random switch of the first two tracks is fixed; None when both are detected together too briefly."""
    a, b = tracks[:2]
    common = sorted(set(a.frames) & set(b.frames))
    length = round(fps * rng.uniform(MIN_SECONDS, MAX_SECONDS))
    if len(common) <= 2 * length:  # The longer part defines the identities.
        return None
    start = int(rng.integers(len(common) - length))
    (one, _), _ = fix_identity_switches(list(swap_identities(a, b, set(common[start : start + length]))))
    return min(_misplaced(one, a), _misplaced(one, b)) <= _TOLERANCE * fps


def _misplaced(found: Track, true: Track) -> int:
    """Number of frames of `true` in which `found` has another box."""
    boxes: dict[int, Floats] = {frame: d.box for frame, d in zip(found.frames, found.detections, strict=True)}
    rows = zip(true.frames, true.detections, strict=True)
    return sum(frame not in boxes or not np.array_equal(boxes[frame], d.box) for frame, d in rows)
