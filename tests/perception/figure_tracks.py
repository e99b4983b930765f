"""Tracks of stick figures in colored shirts."""

from __future__ import annotations

from stick_figures import draw_torsos, stick_figure

from closemesh.perception.tracking.similarity import clothing_colors, torso_histogram
from closemesh.perception.tracking.tracker import Track
from closemesh.perception.types import Detection

Color = tuple[int, int, int]
RED, BLUE, GREEN = (220, 30, 30), (30, 30, 220), (20, 160, 40)
Places = dict[int, Detection]


def track(number: int, places: Places, color: Color) -> Track:
    made = Track(number)
    for frame, person in places.items():
        image = draw_torsos([(person, color)])
        made.add(frame, person, torso_histogram(image, person), clothing_colors(image, person), 1.0)
    return made


def walk(start: float, speed: float, frames: range, **figure_options: float) -> Places:
    return {frame: stick_figure(start + speed * frame, **figure_options) for frame in frames}
