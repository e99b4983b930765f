"""Association by boxes: ByteTrack or BoT-SORT in the place of the own tracker, which goes by keypoints and clothes.

For people who keep apart. Where they embrace, their boxes coincide and tell nothing about who is who.
"""

from __future__ import annotations

import numpy as np

from closemesh.observe.clothes import worn_colours
from closemesh.observe.detector import Detection, Image
from closemesh.observe.similarity import torso_colour
from closemesh.observe.tracking import Track, Tracker, affinities, margin
from closemesh.observe.ultralytics_networks import BoxTracks


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
            track.add(frame, detections[j], colours[j], worn_colours(image, detections[j]), sure)
