"""Runs the phases of a schedule on a person-by-person objective."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject, single_person_loss
from closemesh.fitting.schedule import Phase
from closemesh.progress import Advance

POSE_VARIABLES = ("root", "body_pose", "ray", "log_depth")


def run_phases(
    subject: Subject,
    variables: MotionVariables,
    evidence: Evidence,
    phases: Sequence[Phase],
    iterations: int,
    advance: Advance,
    free: Collection[str] = POSE_VARIABLES,
) -> MotionVariables:
    """Variables after every phase; `iterations` are divided among them by their shares."""
    for phase in phases:
        variables = minimise(
            variables,
            lambda v, _, weights=phase.weights: single_person_loss(
                subject, v, pose_variables(subject.body, v), evidence, weights
            ),
            iterations=round(iterations * phase.share),
            learning_rate=phase.learning_rate,
            free=free,
            advance=advance,
        )
    return variables
