"""Poses of one and of two people, each with how surely all that may be said holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody
from closemesh.body.points import PointBody
from closemesh.geometry.rotations import matrix_to_6d, rotation_6d_to_matrix
from closemesh.language.conditions import confidence
from closemesh.language.figures import Figures, figures_at
from closemesh.training.bank import MotionBank, draw_windows
from closemesh.training.gists import Part
from closemesh.training.remarks import Remark, remark_confidence
from closemesh.training.sayings import parts_of

_TOGETHER = {"cpu": 1024, "cuda": 8192}
UP = (0.0, 1.0, 0.0)  # The world's.
_SURE = 255  # Confidences are kept in steps of 1 / 255.


@dataclass(frozen=True)
class PoseBank:
    """N states of P people, world frame."""

    rotations: Tensor  # [N, P, 22, 6] half precision
    pelvis: Tensor  # [N, P, 3] metres
    known: Tensor  # [N, P, 22] bool joints whose rotation was measured
    holds: Tensor  # [N, S] 0..255 how surely each of `parts_of(P)` holds

    def __len__(self) -> int:
        return len(self.holds)

    def to(self, device: torch.device | str) -> PoseBank:
        return PoseBank(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def part(self, index: Tensor) -> PoseBank:
        """Some of them."""
        return PoseBank(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def matrices(self) -> Tensor:
        """[N, P, 22, 3, 3]."""
        return rotation_6d_to_matrix(self.rotations.float())


def draw_poses(
    banks: Sequence[tuple[MotionBank, int]],
    people: int,
    points: PointBody,
    capsules: CapsuleBody,
    generator: torch.Generator,
) -> PoseBank:
    """So many random frames of each bank; pairs become single people where `people` is 1.

    points: the coarse body. Sides are exchanged in half of them, and who has no shape gets a random one.
    """
    said, parts = parts_of(people), []
    together = _TOGETHER[points.moments.device.type]
    for bank, wanted in banks:
        for first in range(0, wanted if len(bank.length) else 0, together):
            batch = draw_windows(bank, min(together, wanted - first), 1, 30.0, generator)
            rotations, pelvis, known = batch.rotations[:, 0], batch.pelvis[:, 0], batch.known
            betas = batch.betas
            if people == 1:
                rotations, pelvis, known, betas = (t.flatten(0, 1)[:, None] for t in (rotations, pelvis, known, betas))
            up = pelvis.new_tensor(UP).expand(len(pelvis), 3)
            holds = _holding(said, figures_at(rotations, pelvis, betas, up, points, capsules))
            parts.append(PoseBank(matrix_to_6d(rotations).half(), pelvis, known, holds))
    return PoseBank(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(PoseBank)})


def _holding(said: Sequence[Part], figures: Figures) -> Tensor:
    """[N, C]."""
    sure = [remark_confidence(s, figures) if isinstance(s, Remark) else confidence(s, figures) for s in said]
    return (torch.stack(sure, dim=-1) * _SURE).round().to(torch.uint8)
