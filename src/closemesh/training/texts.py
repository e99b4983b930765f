"""Texts about states, drawn at random on the device that learns: some of what is true, in some order and wording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random

import torch
from torch import Tensor

from closemesh.language.rules import candidates
from closemesh.language.statements import DepthOrder, Statement, Touch
from closemesh.language.words import MOST_PIECES, PERSON_A, PERSON_B, Pieces
from closemesh.training.gists import gists
from closemesh.training.wordings import sentence

WORDINGS = 128  # Of each statement, drawn once; more are the same again.
_JOINED = 3  # Most things in one sentence.
SURE = 0.75  # From this confidence on a statement is said.
_JOINERS = (".", ".", ".", ",", ", and", ";", ", while", " and")
_TOUCH_WEIGHT = 0.3  # Two in an embrace touch in twenty places; nobody tells them all.


@dataclass(frozen=True)
class TextTable:
    """Sentences about one person or about two, cut into pieces."""

    pieces: Tensor  # [S, WORDINGS, L] padded with 0
    members: Tensor  # [S, G, M] statements of which one in each group must hold; -1 fills up
    log_weight: Tensor  # [S] how often each is said

    def to(self, device: torch.device | str) -> TextTable:
        return TextTable(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def hold(self, confidences: Tensor) -> Tensor:
        """[B, S] of sentences from those of statements [B, C]."""
        known = torch.cat([confidences, confidences.new_zeros(len(confidences), 1)], dim=1)
        of_group = known[:, self.members].amax(-1)  # [B, S, G]
        # A group without members asks for nothing.
        return torch.where((self.members >= 0).any(-1), of_group, torch.ones_like(of_group)).amin(-1)


@dataclass(frozen=True)
class Texts:
    """N sentences about states."""

    pieces: Tensor  # [N, L] padded with 0
    owner: Tensor  # [N] which state each is about
    rows: Tensor  # [N, _JOINED] what each says, rows of the table; -1 where nothing more

    def hold(self, true: Tensor) -> Tensor:
        """[N, B] how surely each sentence holds of each state; true [B, S] of `TextTable.hold`."""
        padded = torch.nn.functional.pad(true, (0, 1), value=1.0)  # Row -1.
        return padded.T[self.rows].prod(1)


def statements_of(people: int) -> list[Statement]:
    """What the writer can say of so many people, the camera left out: who is nearer to it is no matter of poses."""
    return [statement for statement in candidates(people) if not isinstance(statement, DepthOrder)]


def make_table(people: int, pieces: Pieces, seed: int) -> TextTable:
    """Wordings of every statement and gist of one person, called by letters or not, or of two."""
    random = Random(seed)
    statements = statements_of(people)
    rows = [[pieces.cut(_ended(sentence(s, random, people > 1), random)) for _ in range(WORDINGS)] for s in statements]
    members: list[Sequence[Sequence[int]]] = [((number,),) for number in range(len(statements))]
    place = {statement: number for number, statement in enumerate(statements)}
    name_a, name_b = pieces.number(PERSON_A), pieces.number(PERSON_B)
    for gist in gists():
        groups = tuple(tuple(place[one] for one in group) for group in gist.all_of)
        said = [pieces.cut(_ended(sentence(gist, random, people > 1), random)) for _ in range(WORDINGS)]
        rows.append(said)
        members.append(groups)
        if people > 1:
            rows.append([[name_b if number == name_a else number for number in row] for row in said])
            members.append(tuple(tuple(place[_of_second(one)] for one in group) for group in gist.all_of))
    touches = [_TOUCH_WEIGHT if isinstance(s, Touch) else 1.0 for s in statements]
    weights = torch.tensor(touches + [1.0] * (len(rows) - len(touches)))
    return TextTable(_padded(rows), _filled(members), weights.log())


def draw_texts(
    table: TextTable,
    true: Tensor,
    number: tuple[int, int],
    pieces: Pieces,
    generator: torch.Generator,
    noise: float = 0.0,
) -> Texts:
    """Some true things about each state, a random `number` from so many to so many, one to _JOINED in each sentence.

    true [B, S] 0..1 of `table.hold`. noise: share of the pieces in every second sentence that are made unknown.
    """
    device, count = true.device, len(true)

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    gumbel = -(-rand(*true.shape).clamp(min=1e-9).log()).log() + table.log_weight
    fewest, most = number
    best = torch.where(true >= SURE, gumbel, -torch.inf).topk(min(most, true.shape[1]) // _JOINED * _JOINED, dim=1)
    wanted = fewest + (rand(count, 1) * (most - fewest + 1)).long()
    said = best.values.isfinite() & (torch.arange(best.indices.shape[1], device=device) < wanted)
    # In any order: the weights decide what is said, not what is said first.
    order = rand(*said.shape).argsort(1)
    chosen = torch.where(said, best.indices, -1).gather(1, order).unflatten(1, (-1, _JOINED))  # [B, K, _JOINED]
    many = (rand(*chosen.shape[:2], 1) ** 2 * _JOINED).long()  # Mostly one alone.
    chosen = torch.where(torch.arange(_JOINED, device=device) <= many, chosen, -1)
    owner, place = (chosen >= 0).any(-1).nonzero(as_tuple=True)
    rows = chosen[owner, place]  # [N, _JOINED]
    wording = (rand(*rows.shape) * table.pieces.shape[1]).long()
    numbers = (table.pieces[rows.clamp(min=0), wording] * (rows >= 0)[..., None]).flatten(1).long()
    if noise > 0:
        lost = (rand(*numbers.shape) < noise) & (rand(len(numbers), 1) < 0.5) & (numbers != 0)
        numbers = torch.where(lost, pieces.unknown, numbers)
    return Texts(_framed(numbers, pieces), owner, rows)


def _framed(numbers: Tensor, pieces: Pieces) -> Tensor:
    """Gaps closed, a beginning and an end put around, cut at MOST_PIECES."""
    order = (numbers == 0).to(torch.uint8).argsort(dim=1, stable=True)
    longest = min(int((numbers != 0).sum(1).max()), MOST_PIECES - 2)
    closed = numbers.gather(1, order[:, :longest])
    length = (closed != 0).sum(1, keepdim=True)
    framed = torch.nn.functional.pad(closed, (1, 1), value=pieces.pad)
    framed[:, 0] = pieces.begin
    return framed.scatter(1, length + 1, pieces.end)


def _ended(text: str, random: Random) -> str:
    return text + random.choice(_JOINERS)


def _of_second(statement: Statement) -> Statement:
    people = {name: 1 for name in statement.person_fields()}
    return replace(statement, **people)


def _padded(rows: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    longest = max(len(row) for said in rows for row in said)
    table = torch.zeros(len(rows), WORDINGS, longest, dtype=torch.int16)
    for i, said in enumerate(rows):
        for j, row in enumerate(said):
            table[i, j, : len(row)] = torch.tensor(row, dtype=torch.int16)
    return table


def _filled(members: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    groups = max(len(one) for one in members)
    most = max(len(group) for one in members for group in one)
    filled = torch.full((len(members), groups, most), -1)
    for i, one in enumerate(members):
        for j, group in enumerate(one):
            filled[i, j, : len(group)] = torch.tensor(group)
    return filled
