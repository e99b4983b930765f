"""One shape per person, from the frames in which most is seen."""

from __future__ import annotations

from torch import Tensor

from closemesh.fitting.evidence import Evidence, best_seen_frames
from closemesh.fitting.objective import Subject
from closemesh.fitting.run import POSE_VARIABLES, run_phases
from closemesh.fitting.schedule import SHAPE, SINGLE_FRAMES
from closemesh.initialise.start import start_variables
from closemesh.progress import Advance

SHAPE_FRAMES = 24  # Frames, spread over the clip, that the shape is learned from.


def fit_shape(subject: Subject, evidence: Evidence, iterations: int, advance: Advance) -> Tensor:
    """Betas [P, B]; the poses found on the way are thrown away."""
    evidence = evidence.frames(best_seen_frames(evidence, SHAPE_FRAMES))
    betas = evidence.seen.new_zeros(evidence.seen.shape[1], subject.body.num_betas)
    variables = start_variables(subject.body, evidence, betas)[0]
    variables = run_phases(subject, variables, evidence, SINGLE_FRAMES, iterations, advance)
    variables = run_phases(subject, variables, evidence, SHAPE, iterations, advance, free=(*POSE_VARIABLES, "betas"))
    return variables.betas
