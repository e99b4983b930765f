"""Which start won in each frame, chosen over time so that a person does not flip back and forth."""

from __future__ import annotations

import numpy as np

from closemesh.scene import Floats

JUMP_SIGMA = 0.12  # Metres that a joint may move, against the pelvis, from one frame to the next.
LARGEST_JUMP = 60.0  # Energy; a true cut costs no more than this.


def best_path(energies: Floats, joints: Floats) -> np.ndarray:
    """The start [T] of each frame whose summed energy and jumps are least (Viterbi).

    energies [S, T] of each start in each frame; joints [S, T, J, 3] in metres against the pelvis.
    """
    starts, frames = energies.shape
    cost = energies[:, 0]
    came_from = np.zeros((frames, starts), dtype=int)
    for t in range(1, frames):
        jump = np.linalg.norm(joints[:, None, t] - joints[None, :, t - 1], axis=-1)  # [to, from, J]
        jumps = np.minimum((jump / JUMP_SIGMA) ** 2, LARGEST_JUMP).mean(-1)
        reached = cost[None, :] + jumps
        came_from[t] = reached.argmin(1)
        cost = reached.min(1) + energies[:, t]
    path = np.empty(frames, dtype=int)
    path[-1] = cost.argmin()
    for t in range(frames - 1, 0, -1):
        path[t - 1] = came_from[t, path[t]]
    return path
