"""Every frame by itself, from several starts, and the start that wins over time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.objective import Subject, frame_energy
from closemesh.fitting.run import run_phases
from closemesh.fitting.schedule import SINGLE_FRAMES, Weights
from closemesh.fitting.windows import join
from closemesh.initialise.paths import best_path
from closemesh.initialise.start import start_variables
from closemesh.progress import Advance


def fit_frames(
    subject: Subject, evidence: Evidence, betas: Tensor, chunks: list[slice], iterations: int, advance: Advance
) -> MotionVariables:
    """The best fit of every person in every frame, without smoothing; frames go through in `chunks`."""
    candidates: list[list[MotionVariables]] = []
    energies, joints = [], []
    for chunk in chunks:
        part = evidence.frames(chunk)
        fits = [
            run_phases(subject, start, part, SINGLE_FRAMES, iterations, advance)
            for start in start_variables(subject.body, part, betas)
        ]
        with torch.no_grad():
            measured = [_energy_and_joints(subject, fit, part) for fit in fits]
        energies.append(torch.stack([energy for energy, _ in measured], dim=1))  # [T, S, P]
        joints.append(torch.stack([points for _, points in measured], dim=1))  # [T, S, P, 22, 3]
        candidates.append(fits)
    paths = _paths(torch.cat(energies).cpu().numpy(), torch.cat(joints).cpu().numpy())
    starts = [join(list(pieces)) for pieces in zip(*candidates, strict=True)]
    return _select(starts, torch.as_tensor(paths, device=betas.device))


def _energy_and_joints(subject: Subject, variables: MotionVariables, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """Energy [T, P], 0 where nobody is seen, and joints [T, P, 22, 3] against the pelvis."""
    posed = pose_variables(subject.body, variables)
    energy = frame_energy(subject, variables, posed, evidence, Weights()) * evidence.seen
    return energy, posed.joints[..., :22, :] - posed.joints[..., :1, :]


def _paths(energies: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Winning start [T, P] of energies [T, S, P] and joints [T, S, P, 22, 3]."""
    people = energies.shape[2]
    return np.stack([best_path(energies[:, :, p].T, joints[:, :, p].swapaxes(0, 1)) for p in range(people)], axis=1)


def _select(candidates: list[MotionVariables], paths: Tensor) -> MotionVariables:
    """The variables of candidate paths[t, p] in every frame t of person p."""
    frames, people = torch.meshgrid(*(torch.arange(n, device=paths.device) for n in paths.shape), indexing="ij")
    names = [name for name in candidates[0].tensors() if name != "betas"]
    stacked = {name: torch.stack([getattr(candidate, name) for candidate in candidates]) for name in names}
    return candidates[0].with_tensors(**{name: values[paths, frames, people] for name, values in stacked.items()})
