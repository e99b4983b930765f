"""Where two bodies cross or touch, with only as much of the body as that needs: for the inner loops of fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.crossings import Crossings, SurfacePairs, Touching

_Pairs = TypeVar("_Pairs", bound=SurfacePairs)


@dataclass(frozen=True)
class Meeting:
    """Pairs of points of two bodies, in terms of a part of the body."""

    body: BodyModel
    """Only the vertices that the pairs need."""
    faces: Tensor  # [F, 3] of the whole body in the vertices of that part; -1 where a corner is not in it
    crossings: Crossings
    touching: Touching


def meeting(body: BodyModel, crossings: Crossings, touching: Touching) -> Meeting:
    """What was found on `body`; skinning the part costs as much as there are points that meet."""
    vertex = torch.cat([crossings.vertex, touching.vertex])
    corners = body.faces[torch.cat([crossings.face, touching.face])].flatten()
    needed = torch.zeros(len(body.v_template), dtype=torch.bool, device=vertex.device)
    needed[torch.cat([vertex, corners])] = True
    ids = needed.nonzero()[:, 0]
    position = torch.full_like(needed, -1, dtype=torch.int64)
    position[ids] = torch.arange(len(ids), device=ids.device)

    def renumbered(pairs: _Pairs) -> _Pairs:
        return replace(pairs, vertex=position[pairs.vertex])

    return Meeting(body.subset(ids), position[body.faces], renumbered(crossings), renumbered(touching))
