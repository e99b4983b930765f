"""Measures the detector's errors on films of captured motion and writes them down."""

from __future__ import annotations

from pathlib import Path

import torch

from closemesh.errors import InputError
from closemesh.motion_data.held_out import split_motion_files
from closemesh.progress import Progress
from closemesh.simulation.detector_errors import DetectorErrors, save_detector_errors
from closemesh.simulation.fit_people import HIDDEN_EDGES, fit_cue, fit_people
from closemesh.simulation.fit_points import ERROR_EDGES, PointSamples
from closemesh.simulation.measure import FilmConfig, Measured, measure_films
from closemesh.simulation.mistakes import find_mistakes
from closemesh.simulation.statistics import LEVELS, TIMES


def fit_detector_errors(data: Path, out: Path, config: FilmConfig, progress: Progress) -> DetectorErrors:
    """Errors of the bundled detector on films made of the motion below `data`, written to `out`.

    Motion that is held out for measuring is left out. Raises InputError when there is no motion of enough frames or
    nobody was found in any film.
    """
    learn, _ = split_motion_files(data)
    films = measure_films(learn, config, progress)
    pairs = sum(film.truth.valid.shape[1] > 1 for film in films)
    about = (
        f"{len(films)} rendered films of {config.frames} frames, {pairs} of them with two people, seed {config.seed}"
    )
    errors = errors_of_films(films, about)
    save_detector_errors(out, errors)
    return errors


def errors_of_films(films: list[Measured], measured_on: str) -> DetectorErrors:
    """The distributions of all mistakes in these films. Raises InputError when nobody was found in any of them."""
    films = [film for film in films if film.found.any()]
    if not films:
        raise InputError(
            "the detector found nobody in any film, so that its errors cannot be measured; make more films"
        )
    mistakes = [find_mistakes(film) for film in films]
    arrays = {
        **{"levels": LEVELS, "times": TIMES, "error_edges": ERROR_EDGES, "hidden_edges": HIDDEN_EDGES},
        **PointSamples(films, mistakes).fit(),
        **fit_people(films, mistakes),
        **fit_cue(films, mistakes),
    }
    tensors = {name: torch.as_tensor(array, dtype=torch.float32) for name, array in arrays.items()}
    return DetectorErrors(**tensors, measured_on=measured_on)
