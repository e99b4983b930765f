"""The people of a tool put together on our tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from closemesh.body.points import PointBody
from closemesh.other_tools.matching import match_people
from closemesh.other_tools.on_clip import ClipPerson, pixels
from closemesh.other_tools.tracks import ToolPerson
from closemesh.scene import Bools, Camera, Floats, Observations


@dataclass(frozen=True)
class TrackPoses:
    """What a tool says of our P tracks over the T frames of the clip, camera frame."""

    people: tuple[ToolPerson | None, ...]
    """The person who shows each track best; None for nobody."""
    rotations: Floats  # [T, P, 55, 3, 3]; the identity where nothing is told
    pelvis: Floats  # [T, P, 3] metres
    confidence: Floats  # [T, P] as the tool says; 1 where it is silent
    there: Bools  # [T, P] the tool tells of this frame


def put_on_tracks(
    people: Sequence[ClipPerson], observations: Observations, camera: Camera, body: PointBody
) -> TrackPoses:
    """Each track gets the person whose keypoints fall on it, and in frames that he lacks those who follow him."""
    frames, tracks = observations.visible.shape
    rotations = np.tile(np.eye(3), (frames, tracks, 55, 1, 1))
    pelvis, there = np.zeros((frames, tracks, 3)), np.zeros((frames, tracks), bool)
    confidence = np.ones((frames, tracks))
    matched = match_people([pixels(person, body, camera) for person in people], observations)
    for track, chosen in matched.items():
        for person in (people[number] for number in chosen):
            new = person.there & ~there[:, track]
            rotations[new, track], pelvis[new, track] = person.rotations[new], person.pelvis[new]
            confidence[new, track] = person.confidence[new]
            there[:, track] |= new
    best = tuple(people[matched[track][0]].told if track in matched else None for track in range(tracks))
    return TrackPoses(best, rotations, pelvis, confidence, there)
