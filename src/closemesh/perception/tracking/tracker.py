"""Association over time, box trackers.

Association over time: each detection to the track whose prediction and colour it fits best.

Association by boxes: ByteTrack or BoT-SORT in the place of the own tracker, which goes by keypoints and clothes.

For people who keep apart. Where they embrace, their boxes coincide and tell nothing about who is who.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.core.arrays import Floats
from closemesh.perception.detectors.ultralytics_backend import BoxTracks
from closemesh.perception.tracking.similarity import clothing_colors, colour_similarity, oks, torso_colour
from closemesh.perception.types import Detection, Image

MAX_GAP = 15  # Frames; a person unseen for longer starts a new track, which people.py may join to the old one.
_KEYPOINT_SHARE, _COLOUR_SHARE = 0.7, 0.3
_MIN_AFFINITY = 0.15
_MIN_BIRTH_SCORE = 0.2
_MAX_EXTRAPOLATION = 3  # Frames; limbs do not keep their velocity for longer.
_SURE_MARGIN = 0.4


@dataclass
class Track:
    """One person as far as it could be followed."""

    number: int
    frames: list[int] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    colours: list[Floats] = field(default_factory=list)
    """Torso histograms [256], one a frame."""
    clothes: list[Floats] = field(default_factory=list)
    """Colours [6, 4] of what the person wears, one a frame; see clothes.py."""
    margins: list[float] = field(default_factory=list)
    """0..1, how much better this choice was than the next best."""
    velocity: Floats = field(default_factory=lambda: np.zeros((17, 2)))
    colour: Floats | None = None
    """Running mean histogram [256]."""

    def predict(self, frame: int) -> Detection:
        """Where the person should be in `frame`, at constant velocity."""
        last = self.detections[-1]
        steps = min(frame - self.frames[-1], _MAX_EXTRAPOLATION)
        keypoints = last.keypoints.copy()
        keypoints[:, :2] += steps * self.velocity
        return Detection(last.box + steps * np.tile(self.velocity.mean(0), 2), keypoints, last.score)

    def add(self, frame: int, detection: Detection, colour: Floats, clothes: Floats, margin: float) -> None:
        if self.frames:
            moved = detection.keypoints[:, :2] - self.detections[-1].keypoints[:, :2]
            self.velocity = 0.5 * self.velocity + 0.5 * moved / (frame - self.frames[-1])
        self.colour = colour if self.colour is None else 0.9 * self.colour + 0.1 * colour
        self.frames.append(frame)
        self.detections.append(detection)
        self.colours.append(colour)
        self.clothes.append(clothes)
        self.margins.append(margin)


def assembled(number: int, rows: list[tuple[Track, int]]) -> Track:
    """A track out of rows of others, in the order given."""
    return Track(
        number,
        [track.frames[k] for track, k in rows],
        [track.detections[k] for track, k in rows],
        [track.colours[k] for track, k in rows],
        [track.clothes[k] for track, k in rows],
        [track.margins[k] for track, k in rows],
    )


class Tracker:
    """Follows everybody, frame by frame."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []

    def live(self, frame: int) -> list[Track]:
        """Tracks seen not long before `frame`."""
        return [track for track in self.tracks if frame - track.frames[-1] <= MAX_GAP]

    def step(self, frame: int, image: Image, detections: list[Detection]) -> None:
        """Give each detection to a live track or to a new one."""
        colours = [torso_colour(image, detection) for detection in detections]
        clothes = [clothing_colors(image, detection) for detection in detections]
        live = self.live(frame)
        affinity = affinities(live, frame, detections, colours)
        free = set(range(len(detections)))
        for i, j in zip(*linear_sum_assignment(-affinity), strict=True):
            if affinity[i, j] > _MIN_AFFINITY:
                live[i].add(frame, detections[j], colours[j], clothes[j], margin(affinity, i, j))
                free.remove(j)
        for j in sorted(free):
            if detections[j].score >= _MIN_BIRTH_SCORE:
                self.tracks.append(Track(len(self.tracks)))
                self.tracks[-1].add(frame, detections[j], colours[j], clothes[j], 1.0)


def affinities(live: list[Track], frame: int, detections: list[Detection], colours: list[Floats]) -> Floats:
    """[tracks, detections] 0..1 how well each detection, of this colour, fits each track's prediction for `frame`."""
    affinity = np.zeros((len(live), len(detections)))
    for i, track in enumerate(live):
        predicted = track.predict(frame)
        for j, detection in enumerate(detections):
            affinity[i, j] = _KEYPOINT_SHARE * oks(predicted, detection)
            affinity[i, j] += _COLOUR_SHARE * colour_similarity(track.colour, colours[j])  # type: ignore[arg-type]
    return affinity


def margin(affinity: Floats, i: int, j: int) -> float:
    """How much better [i, j] is than any other choice for i or for j, 0..1."""
    others = np.concatenate([np.delete(affinity[i], j), np.delete(affinity[:, j], i), [0.0]])
    return float(np.clip((affinity[i, j] - others.max()) / _SURE_MARGIN, 0, 1))


class BoxTracker(Tracker):
    """Follows everybody by their boxes; kind is `bytetrack` or `botsort`. Raises InputError without what runs it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._boxes = BoxTracks(kind)
        self._track_of: dict[int, Track] = {}

    def step(self, frame: int, image: Image, detections: list[Detection]) -> None:
        """Give each detection to the track that its box belongs to."""
        boxes = np.array([detection.box for detection in detections]).reshape(-1, 4)
        numbers = self._boxes.step(image, boxes, np.array([detection.score for detection in detections]))
        colours = [torso_colour(image, detection) for detection in detections]
        live = self.live(frame)
        affinity = affinities(live, frame, detections, colours)  # Before any track moves on.
        for j, number in numbers.items():
            track = self._track_of.get(number)
            sure = margin(affinity, live.index(track), j) if track in live else 1.0
            if track is None:
                track = self._track_of[number] = Track(len(self.tracks))
                self.tracks.append(track)
            track.add(frame, detections[j], colours[j], clothing_colors(image, detections[j]), sure)
