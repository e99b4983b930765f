"""Association of detections to tracks over time: by keypoints and clothing, or by boxes (ByteTrack, BoT-SORT)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.core.arrays import Floats
from closemesh.perception.detectors.ultralytics_backend import BoxTracks
from closemesh.perception.tracking.similarity import clothing_colors, histogram_similarity, oks, torso_histogram
from closemesh.perception.types import Detection, Image

MAX_MISSED_FRAMES = 15  # A person not detected for longer starts a new track, which `link_tracklets` may join.
_KEYPOINT_WEIGHT, _COLOR_WEIGHT = 0.7, 0.3
_MIN_AFFINITY = 0.15
_MIN_NEW_TRACK_SCORE = 0.2
_MAX_EXTRAPOLATION = 3  # Frames; limbs do not keep their velocity for longer.
_FULL_MARGIN = 0.4


@dataclass
class Track:
    """Detections of one person over time, with interruptions."""

    track_id: int
    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    histograms: list[Floats] = field(default_factory=list)
    """Torso histograms [256], one per frame."""
    clothing_colors: list[Floats] = field(default_factory=list)
    """`clothing_colors` [6, 4], one per frame."""
    margins: list[float] = field(default_factory=list)
    """0..1 margin of each association over the next best."""
    velocity: Floats = field(default_factory=lambda: np.zeros((17, 2)))
    """[17, 2] pixels per frame."""
    mean_histogram: Floats | None = None
    """[256] running mean."""

    def predict(self, frame: int) -> Detection:
        """The detection expected in `frame`, at constant velocity."""
        last = self.detections[-1]
        steps = min(frame - self.frames[-1], _MAX_EXTRAPOLATION)
        keypoints = last.keypoints.copy()
        keypoints[:, :2] += steps * self.velocity
        return Detection(last.box + steps * np.tile(self.velocity.mean(0), 2), keypoints, last.score)

    def add(self, frame: int, detection: Detection, histogram: Floats, clothing: Floats, margin: float) -> None:
        """Append a detection with its torso histogram [256] and clothing colors, clothing [6, 4]."""
        if self.frames:
            moved = detection.keypoints[:, :2] - self.detections[-1].keypoints[:, :2]
            self.velocity = 0.5 * self.velocity + 0.5 * moved / (frame - self.frames[-1])
        mean = self.mean_histogram
        self.mean_histogram = histogram if mean is None else 0.9 * mean + 0.1 * histogram
        self.frames.append(frame)
        self.detections.append(detection)
        self.histograms.append(histogram)
        self.clothing_colors.append(clothing)
        self.margins.append(margin)


def assemble_track(track_id: int, rows: list[tuple[Track, int]]) -> Track:
    """A track made of rows (track, index) of other tracks, in the given order."""
    return Track(
        track_id,
        [track.frames[k] for track, k in rows],
        [track.detections[k] for track, k in rows],
        [track.histograms[k] for track, k in rows],
        [track.clothing_colors[k] for track, k in rows],
        [track.margins[k] for track, k in rows],
    )


class Tracker:
    """Tracks all people frame by frame, by keypoints and torso colors."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []

    def active_tracks(self, frame: int) -> list[Track]:
        """Tracks with a detection in the last MAX_MISSED_FRAMES frames before `frame`."""
        return [track for track in self.tracks if frame - track.frames[-1] <= MAX_MISSED_FRAMES]

    def step(self, frame: int, image: Image, detections: list[Detection]) -> None:
        """Assign each detection of the next frame to an active or to a new track."""
        histograms = [torso_histogram(image, detection) for detection in detections]
        clothing = [clothing_colors(image, detection) for detection in detections]
        active = self.active_tracks(frame)
        affinity = affinities(active, frame, detections, histograms)
        unassigned = set(range(len(detections)))
        for i, j in zip(*linear_sum_assignment(-affinity), strict=True):
            if affinity[i, j] > _MIN_AFFINITY:
                active[i].add(frame, detections[j], histograms[j], clothing[j], association_margin(affinity, i, j))
                unassigned.remove(j)
        for j in sorted(unassigned):
            if detections[j].score >= _MIN_NEW_TRACK_SCORE:
                self.tracks.append(Track(len(self.tracks)))
                self.tracks[-1].add(frame, detections[j], histograms[j], clothing[j], 1.0)


def affinities(active: list[Track], frame: int, detections: list[Detection], histograms: list[Floats]) -> Floats:
    """[tracks, detections] 0..1 match of each detection with each track's prediction for `frame`.

    histograms: torso histogram [256] of each detection.
    """
    affinity = np.zeros((len(active), len(detections)))
    for i, track in enumerate(active):
        predicted = track.predict(frame)
        for j, detection in enumerate(detections):
            affinity[i, j] = _KEYPOINT_WEIGHT * oks(predicted, detection)
            affinity[i, j] += _COLOR_WEIGHT * histogram_similarity(track.mean_histogram, histograms[j])  # type: ignore[arg-type]
    return affinity


def association_margin(affinity: Floats, i: int, j: int) -> float:
    """0..1 margin of affinity [tracks, detections] at [i, j] over every other choice for i or j."""
    others = np.concatenate([np.delete(affinity[i], j), np.delete(affinity[:, j], i), [0.0]])
    return float(np.clip((affinity[i, j] - others.max()) / _FULL_MARGIN, 0, 1))


class BoxTracker(Tracker):
    """Tracks all people by their boxes; kind is `bytetrack` or `botsort`.

    Boxes of people who embrace coincide, and identities are then unreliable. Raises InputError when ultralytics or lap
    is missing.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._boxes = BoxTracks(kind)
        self._track_of: dict[int, Track] = {}

    def step(self, frame: int, image: Image, detections: list[Detection]) -> None:
        """Assign each detection of the next frame to the track of its box."""
        boxes = np.array([detection.box for detection in detections]).reshape(-1, 4)
        box_ids = self._boxes.step(image, boxes, np.array([detection.score for detection in detections]))
        histograms = [torso_histogram(image, detection) for detection in detections]
        active = self.active_tracks(frame)
        affinity = affinities(active, frame, detections, histograms)  # Before any track is extended.
        for j, box_id in box_ids.items():
            track = self._track_of.get(box_id)
            margin = association_margin(affinity, active.index(track), j) if track in active else 1.0
            if track is None:
                track = self._track_of[box_id] = Track(len(self.tracks))
                self.tracks.append(track)
            track.add(frame, detections[j], histograms[j], clothing_colors(image, detections[j]), margin)
