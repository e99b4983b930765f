"""What was said of a pair, as the network's condition and as an energy of its guidance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.language.alignment import Alignment
from closemesh.language.energies import told_violation, touching_parts
from closemesh.language.figures import Figures
from closemesh.language.nearness import farness, read_sayings
from closemesh.language.told import Told
from closemesh.proxemics.guidance import Energy
from closemesh.proxemics.state import PairState
from closemesh.proxemics.windows import PairBody, PairWindows, by_window, pose_pair


@dataclass(frozen=True)
class PairTold:
    """Statements about one pair, its people numbered 0 and 1."""

    told: tuple[Told, ...]
    up: Tensor  # [3] unit vector against gravity, cam

    def condition(self, windows: PairWindows) -> PairWindows:
        """The windows with the parts that are said to touch."""
        return replace(windows, touching=touching_parts(self.told, windows.times))

    def energy(self, windows: PairWindows, body: PairBody, weight: float) -> Energy:
        """How far a state is from what is said of it."""
        up = F.normalize(self.up, dim=-1).to(windows.times).expand(*windows.times.shape, 3)

        def energy(state: PairState) -> Tensor:
            keypoints = windows.view.points_to_cam(by_window(pose_pair(body, state).keypoints))
            return weight * told_violation(self.told, Figures(keypoints, up, body.capsules), windows.times).sum()

        return energy

    def nearness(self, windows: PairWindows, alignment: Alignment, weight: float) -> Energy:
        """How far each person is from what is said of that one, in the space that texts and poses have in common.

        What is said of both is left out: its gradients push people apart or together by decimetres.
        """
        sayings = [one for one in read_sayings(alignment, self.told) if len(one.people) == 1]
        up_cam = F.normalize(self.up, dim=-1).to(windows.times)
        up = torch.einsum("bij,j->bi", windows.view.R_view_cam, up_cam)[:, None].expand(*windows.times.shape, 3)

        def energy(state: PairState) -> Tensor:
            return weight * farness(sayings, alignment.poses, state.rotations, state.pelvis, up, windows.times).sum()

        return energy
