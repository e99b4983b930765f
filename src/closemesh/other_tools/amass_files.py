"""AMASS-style .npz files, one person each, in a world of their own: what many tools export."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.motion_data.amass import read_amass
from closemesh.motion_data.sequence import MotionSequence
from closemesh.motion_data.smpl_parts import Model
from closemesh.other_tools.tracks import ToolPerson, ToolResult
from closemesh.scene import Clip

_FINGERS = slice(25, 55)


def read_amass_person(path: Path, clip: Clip) -> ToolResult:
    """The person at the times of the clip's frames; the first of the file is taken at the clip's time 0.

    The file's rate (mocap_framerate) may be another than the clip's: the nearest of its frames stands for each of the
    clip's. Frames that the file calls not valid are left out. Raises InputError.
    """
    sequence = read_amass(path)
    nearest = np.rint(np.asarray(clip.times) * sequence.fps).astype(int)
    inside = (nearest >= 0) & (nearest < len(sequence))
    chosen = nearest[inside]
    valid = sequence.valid[chosen, 0]
    model = _model(sequence)
    person = ToolPerson(
        frames=clip.frame_indices[inside][valid],
        rotations=sequence.rotations[chosen[valid], 0].astype(np.float64),
        pelvis=sequence.pelvis[chosen[valid], 0].astype(np.float64),
        confidence=np.ones(int(valid.sum())),
        model=model,
        betas=None if sequence.betas is None else sequence.betas[0],
        joints=None if sequence.joints is None else sequence.joints[chosen[valid], 0].astype(np.float64),
        known_hands=bool(sequence.known[0, _FINGERS].any()),
    )
    return ToolResult("AMASS", (person,), None)


def _model(sequence: MotionSequence) -> Model:
    told = (sequence.body_model or "").partition("/")[0]
    return "smplx" if told == "smplx" else "smpl" if told == "smpl" else "smplh"
