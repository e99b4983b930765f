"""A first motion without the lifter: every frame by itself from several starts, then smooth over the clip."""

from __future__ import annotations

from closemesh.body.variables import MotionVariables
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.objective import Subject
from closemesh.fitting.run import run_phases
from closemesh.fitting.schedule import SINGLE_PERSON
from closemesh.fitting.windows import blend_window, fill_unseen, split_windows
from closemesh.initialise.frames import fit_frames
from closemesh.initialise.shape import fit_shape
from closemesh.initialise.start import START_NAMES
from closemesh.progress import Progress


def plain_fit(
    subject: Subject, evidence: Evidence, iterations: int, window: int, overlap: int, progress: Progress
) -> MotionVariables:
    """The shape comes first, from a few frames; then every frame; then the whole clip in overlapping windows."""
    length = len(evidence.times)
    chunks, windows = split_windows(length, window, 0), split_windows(length, window, overlap)
    steps = iterations * (2 + len(START_NAMES) * len(chunks) + len(windows))
    with progress.task("initialise", steps) as advance:
        betas = fit_shape(subject, evidence, iterations, advance)
        variables = fit_frames(subject, evidence, betas, chunks, iterations, advance)
        variables = fill_unseen(variables, evidence.seen > 0)
        for frames in windows:
            piece, part = variables.frames(frames), evidence.frames(frames)
            piece = run_phases(subject, piece, part, SINGLE_PERSON, iterations, advance)
            variables = blend_window(variables, piece, frames, overlap)
    return variables
