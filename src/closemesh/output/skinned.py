"""The meshes of a motion, a few frames at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints, skin
from closemesh.scene import BodyMotion, Floats

_FRAMES_AT_ONCE = 8  # Enough to keep the cores busy; 0.5 MB a frame for two people.


def stream_vertices(motion: BodyMotion, body: BodyModel) -> Iterator[Floats]:
    """Vertices [P, V, 3] of one frame after the other, metres, float32, in the frame of the motion."""
    for start in range(0, len(motion.transl), _FRAMES_AT_ONCE):
        with torch.inference_mode():
            vertices, _ = skin(body, *_parameters(motion, body, slice(start, start + _FRAMES_AT_ONCE)))
        yield from vertices.float().cpu().numpy()


def motion_joints(motion: BodyMotion, body: BodyModel) -> Floats:
    """Joints [T, P, 55, 3] of the whole motion, metres, float32, in the frame of the motion."""
    with torch.inference_mode():
        return posed_joints(body, *_parameters(motion, body, slice(None))).float().cpu().numpy()


def _parameters(motion: BodyMotion, body: BodyModel, frames: slice) -> tuple[torch.Tensor, ...]:
    """betas, rotations, transl and expression of some frames, where the body lives."""
    arrays = (motion.betas, motion.rotations[frames], motion.transl[frames], motion.expression[frames])
    template = body.v_template
    return tuple(torch.as_tensor(array).to(template.device, template.dtype) for array in arrays)
