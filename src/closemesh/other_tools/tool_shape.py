"""Shapes of our body for people of another tool, whose betas belong to another body and are not taken over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.points import PointBody
from closemesh.body.variables import MotionVariables
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.fitting.evidence import Evidence, best_seen_frames
from closemesh.fitting.objective import Subject
from closemesh.fitting.run import run_phases
from closemesh.fitting.schedule import Phase, Weights
from closemesh.motion_data.fit_shape import fit_betas
from closemesh.motion_data.sequence import MotionSequence
from closemesh.other_tools.tracks import ToolPerson
from closemesh.progress import Advance
from closemesh.scene import Floats

_FRAMES = 24  # Spread over the clip, that shapes are fitted to.
_ITERATIONS = 60
# Poses and distances are the tool's, so that sizes in the picture tell the shape.
_SHAPE = Phase("shape", Weights(limbs=0.0, pose_prior=0.0, limits=0.0, shape=10.0), share=1.0, learning_rate=0.03)


def told_betas(person: ToolPerson | None, body: BodyModel) -> Floats | None:
    """[B] of `body` that the file itself tells; None when it tells nothing of that body.

    Its own betas only when they are SMPL-X's and `body` is that; else the shape whose limbs are as long as those of
    the joints in the file.
    """
    if person is None:
        return None
    if person.model == "smplx" and not body.is_open and person.betas is not None:
        betas = np.zeros(body.num_betas)
        kept = min(len(betas), len(person.betas))
        betas[:kept] = person.betas[:kept]
        return betas
    if person.joints is None:
        return None
    frames = len(person.frames)
    skeleton = MotionSequence(
        name="the tool's joints",
        fps=1.0,
        rotations=person.rotations[:, None],
        pelvis=person.pelvis[:, None],
        valid=np.ones((frames, 1), bool),
        known=np.ones((1, 55), bool),
        joints=person.joints[:, None],
    )
    return fit_betas(skeleton, body)[0]


def seen_betas(body: PointBody, variables: MotionVariables, evidence: Evidence, advance: Advance) -> Floats:
    """[P, B] with which the poses and distances as they are show the keypoints that were seen."""
    index = best_seen_frames(evidence, _FRAMES)
    subject = Subject(body, load_pose_prior().to(evidence.seen.device))
    some, part = variables.frames(index), evidence.frames(index)
    fitted = run_phases(subject, some, part, (_SHAPE,), _ITERATIONS, advance, free=("betas", "ray"))
    return fitted.betas.cpu().numpy()


def choose_betas(told: Sequence[Floats | None], seen: Floats) -> Floats:
    """[P, B] what the file tells, else what was seen."""
    return np.stack([row if known is None else known for known, row in zip(told, seen, strict=True)])
