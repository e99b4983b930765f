"""What a model that is shown pictures could say of a scene whose truth is known: true, or false in part.

At each moment that the pipeline would show a model, everything of the vocabulary is said that surely holds of the
people there, by the rules that write descriptions, and is taken to hold as long as an answer to a picture is. The
confidence is that of answers that all agree, of false statements too: a model does not know what it gets wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.language.answers import vote
from closemesh.language.key_frames import Moment, held_span
from closemesh.language.rivals import other_touches, rivals
from closemesh.language.rules import RuleConfig, candidates, confidences
from closemesh.language.statements import Statement, Touch
from closemesh.language.told import Told
from closemesh.scene import BodyMotion, Bools, Floats


@dataclass(frozen=True)
class Witness:
    """What surely holds, and what surely does not, in each of M moments of a scene."""

    spans: tuple[tuple[float, float], ...]
    true: tuple[tuple[Statement, ...], ...]
    false: tuple[frozenset[Statement], ...]

    def told(self, share: float, seed: int, answers: int) -> tuple[Told, ...]:
        """What is said when this share of the statements is replaced by false ones of the same kind.

        A false one is of the same people and parts and says something else of them; of a touch one of both parts is
        another. What one seed replaces at a small share it replaces at a larger one too.
        """
        rng = np.random.default_rng(seed)
        said = [list(statements) for statements in self.true]
        places = [(moment, number) for moment, statements in enumerate(said) for number in range(len(statements))]
        wanted = round(share * len(places))
        for place in rng.permutation(len(places)):
            moment, number = places[place]
            wrong = [one for one in false_of(said[moment][number]) if one in self.false[moment]]
            wrong = [one for one in wrong if one not in said[moment]]
            chosen = rng.integers(len(wrong)) if wrong else 0
            if wrong and wanted > 0:
                said[moment][number] = wrong[chosen]
                wanted -= 1
        agreed = ([frozenset(statements)] * answers for statements in said)
        return tuple(one for answer, span in zip(agreed, self.spans, strict=True) for one in vote(answer, *span))


def witness(moments: Sequence[Moment], motion: BodyMotion, body: BodyModel, times: Floats, up_cam: Floats) -> Witness:
    """Of the true motion, camera frame; times [T] seconds; up_cam [T, 3] unit vectors against gravity."""
    frames = [moment.frame for moment in moments]
    said = list(candidates(motion.num_people))
    tried = list(dict.fromkeys([*said, *(other for one in said for other in false_of(one))]))
    held = confidences(tried, motion.frames(frames), body, up_cam[frames]) if moments else np.zeros((len(tried), 0))
    true, false = held >= RuleConfig().sure, held <= 1 - RuleConfig().sure  # [S, M]

    def of_moment(number: int, which: Bools, among: Sequence[Statement]) -> tuple[Statement, ...]:
        people = set(moments[number].people)
        rows = zip(among, which[:, number], strict=False)  # What is said comes first in what was tried.
        return tuple(one for one, chosen in rows if chosen and people.issuperset(one.people))

    numbers = range(len(moments))
    return Witness(
        tuple(held_span(frame, times) for frame in frames),
        tuple(of_moment(number, true, said) for number in numbers),
        tuple(frozenset(of_moment(number, false, tried)) for number in numbers),
    )


def false_of(statement: Statement) -> tuple[Statement, ...]:
    """What can be said falsely in the place of a statement."""
    return other_touches(statement) if isinstance(statement, Touch) else rivals(statement)
