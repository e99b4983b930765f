"""All that can be said of one person or of two, in one list: statements, remarks and gists, and where each holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain

import torch
from torch import Tensor

from closemesh.language.rules import candidates
from closemesh.language.statements import DepthOrder, Statement, Touch
from closemesh.training.gists import Gist, Part, both_sides, one_side
from closemesh.training.remarks import Remark, remarks
from closemesh.training.whole_poses import whole_poses

Saying = Statement | Remark | Gist
SURE = 0.75  # From this confidence on a thing is said.
_TOUCH_WEIGHT = 0.3  # Two in an embrace touch in twenty places; nobody tells them all.


def parts_of(people: int) -> list[Part]:
    """What poses are asked for; the camera is left out: who is nearer to it is no matter of poses."""
    statements = (statement for statement in candidates(people) if not isinstance(statement, DepthOrder))
    return [*statements, *remarks(people)]


def sayings_of(people: int) -> list[Saying]:
    """The parts, then the gists of each person."""
    return [*parts_of(people), *(gist for person in range(people) for gist in _gists(person))]


def _gists(person: int) -> Iterator[Gist]:
    yield from (gist.of(person) for gist in chain(one_side(), both_sides(), whole_poses()))


@dataclass(frozen=True)
class SayingTable:
    """S sayings about one person or about two."""

    place: Tensor  # [S] of each in the list of those about two, which holds all
    members: Tensor  # [S, G, M] parts of which one in each group must hold; -1 fills up
    weight: Tensor  # [S] how often each is said

    def to(self, device: torch.device | str) -> SayingTable:
        return SayingTable(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def hold(self, confidences: Tensor) -> Tensor:
        """[B, S] of sayings from those of parts [B, C]."""
        known = torch.cat([confidences, confidences.new_zeros(len(confidences), 1)], dim=1)
        found = confidences.new_ones(len(confidences), len(self.members))
        for group in range(self.members.shape[1]):  # One after the other: all at once would be gigabytes.
            members = self.members[:, group]
            of_group = known[:, members].amax(-1)
            # A group without members asks for nothing.
            found = torch.where((members >= 0).any(-1), torch.minimum(found, of_group), found)
        return found


def saying_table(people: int) -> SayingTable:
    """The table of all that can be said of so many people."""
    everything = {saying: number for number, saying in enumerate(sayings_of(2))}
    said, column = sayings_of(people), {part: number for number, part in enumerate(parts_of(people))}
    groups = [one.all_of if isinstance(one, Gist) else ((one,),) for one in said]
    members = torch.full((len(said), max(map(len, groups)), max(len(g) for one in groups for g in one)), -1)
    for row, one in enumerate(groups):
        for number, group in enumerate(one):
            members[row, number, : len(group)] = torch.tensor([column[part] for part in group])
    weight = torch.tensor([_TOUCH_WEIGHT if isinstance(one, Touch) else 1.0 for one in said])
    return SayingTable(torch.tensor([everything[one] for one in said]), members, weight)
