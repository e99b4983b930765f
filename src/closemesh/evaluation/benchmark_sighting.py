"""What the pipeline gets to see of a benchmark scene, and how that hangs together with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from closemesh.config import Config
from closemesh.errors import InputError
from closemesh.evaluation.evaluate import pair_times
from closemesh.evaluation.tracks import FoundPeople, match_tracks
from closemesh.observe.observe import observe
from closemesh.progress import Silent
from closemesh.scene import Bools, Clip, Observations
from closemesh.simulation.detections import simulate_observations
from closemesh.simulation.film import render_film
from closemesh.simulation.scene import SimulatedScene, true_points
from closemesh.simulation.visibility import outside
from closemesh.video import open_clip

Source = Literal["keypoints", "pixels"]

MASKS = "masks"
_BODY = 17


@dataclass(frozen=True)
class Sighting:
    """Observations of a scene."""

    clip: Clip
    observations: Observations
    people: FoundPeople
    """Over the frames that are paired below."""
    frames: np.ndarray
    """[T] frames of the clip that show ..."""
    true_frames: np.ndarray
    """[T] ... these frames of the scene."""
    found: int
    """Of the people in the picture, frame by frame, how many were detected."""


def see_keypoints(scene: SimulatedScene, seed: int) -> Sighting:
    """Simulated detections; who is who is known."""
    observations = simulate_observations(scene, seed).observations
    frames = np.arange(len(scene.clip))
    everybody = FoundPeople(tuple(range(scene.motion.num_people)), np.ones_like(scene.motion.valid))
    return Sighting(scene.clip, observations, everybody, frames, frames, _count(scene, observations.visible))


def see_pixels(scene: SimulatedScene, config: Config, seed: int, folder: Path) -> Sighting | None:
    """A rendered film through the detector and the tracker; None when they find nobody.

    Film and masks are written to `folder`, and read again by later stages.
    """
    film = folder / "film.mp4"
    render_film(scene, film, seed, Silent())
    clip = open_clip(film, config.clip)
    try:
        observations = observe(clip, config.observe, folder / MASKS, Silent())
    except InputError:  # Nobody found.
        return None
    frames, true_frames = pair_times(clip.times, scene.clip.times)
    people = match_tracks(
        observations.keypoints[frames],
        observations.visible[frames],
        true_points(scene).pixels[true_frames],
        scene.motion.valid[true_frames],
    )
    found = np.zeros_like(scene.motion.valid)
    found[true_frames] = people.found
    return Sighting(clip, observations, people, frames, true_frames, _count(scene, found))


def in_picture(scene: SimulatedScene) -> Bools:
    """[T, P] at least half of the body keypoints are inside the picture: the person should be found."""
    gone = outside(true_points(scene).pixels[:, :, :_BODY], scene.camera.size)
    return scene.motion.valid & (gone.mean(-1) <= 0.5)


def _count(scene: SimulatedScene, found: Bools) -> int:
    return int((found & in_picture(scene)).sum())
