"""From the variables of a fit to the record that travels, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.points import PointBody
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.fitting.evidence import Evidence
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle
from closemesh.scene import BodyMotion

BODY_KEYPOINTS = 17
_INLIER_SIGMAS = 3.0


def to_motion(body: BodyModel, fitted: PointBody, variables: MotionVariables, evidence: Evidence) -> BodyMotion:
    """The motion of `body`, named in the record, whose fit ran on its points `fitted`."""
    with torch.no_grad():
        frames, people = variables.log_depth.shape
        return BodyMotion(
            body_model=body.name,
            betas=_numpy(variables.betas),
            rotations=_numpy(variables.rotations()),
            transl=_numpy(variables.transl(fitted)),
            expression=np.zeros((frames, people, body.num_expressions), np.float32),
            valid=evidence.present.cpu().numpy() > 0,
            confidence=_numpy(pose_confidence(fitted, variables, evidence)),
        )


def from_motion(body: PointBody, motion: BodyMotion, device: torch.device | str) -> MotionVariables:
    """The variables that give this motion."""
    rotations = torch.as_tensor(motion.rotations, dtype=torch.float32, device=device)
    betas = torch.as_tensor(motion.betas, dtype=torch.float32, device=device)
    axis_angle = matrix_to_axis_angle(rotations[..., 1:, :, :])
    at_origin = MotionVariables(
        root=matrix_to_6d(rotations[..., 0, :, :]),
        body_pose=axis_angle[..., :21, :],
        jaw=axis_angle[..., 21, :],
        hand_pose=axis_angle[..., 24:, :],
        ray=torch.zeros_like(rotations[..., 0, 0, :2]),
        log_depth=torch.zeros_like(rotations[..., 0, 0, 0]),
        betas=betas,
    )
    rest_pelvis = at_origin.pelvis() - at_origin.transl(body)  # [T, P, 3]
    pelvis = torch.as_tensor(motion.transl, dtype=torch.float32, device=device) + rest_pelvis
    return at_origin.with_tensors(ray=pelvis[..., :2] / pelvis[..., 2:], log_depth=pelvis[..., 2].log())


def pose_confidence(body: PointBody, variables: MotionVariables, evidence: Evidence, chunk: int = 64) -> Tensor:
    """[T, P] share of the 17 body keypoints that were seen and that the body meets within three sigmas."""
    shares = []
    for frames in torch.arange(len(evidence.times)).split(chunk):
        index = slice(int(frames[0]), int(frames[-1]) + 1)
        part = evidence.frames(index)
        projected = project(pose_variables(body, variables.frames(index)).keypoints, part.focal, part.centre)
        misses = (projected - part.points).norm(dim=-1) * part.inverse_sigmas
        met = (part.inverse_sigmas > 0) & (misses < _INLIER_SIGMAS)
        shares.append(met[..., :BODY_KEYPOINTS].float().mean(-1) * part.seen)
    return torch.cat(shares)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)
