"""Sentences to learn to read from: one thing or a few that are said together, joined and shortened as people do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from closemesh.lab.training.caption_labels import Label, labels_of
from closemesh.lab.training.paraphrasing import sentence
from closemesh.lab.training.pose_attributes import PoseAttribute
from closemesh.text.statements import ArmHeight, JointAngle, Placement, Touch
from closemesh.text.text_encoder import MOST_PIECES, WordPieceTokenizer

_ABOUT_TWO = 0.35  # Of the sentences.
_MOST = 3  # Things in one sentence.
_ALONE = 0.6  # Of the sentences, that say one thing.
_OF_ONE_LIMB = 0.5  # Of the sentences that say several things.
_TOUCHES = 0.15  # How often one is said, for each other thing.
_JOINERS = (", ", ", ", " and ", ", and ", " while ", " with ", ", but ", "; ")
_FILLERS = (
    *("quite", "fairly", "rather", "clearly", "just", "still", "low", "relaxed", "loosely", "firmly", "more or less"),
    *("straight", "fully", "gently", "deeply", "a bit", "almost", "there", "nearly", "steadily", "more", "comfortably"),
)
_FILLED = 0.2  # Of the sentences, that say a word more than they need.
_ENDS = ("", "", ".", ",")
_NOISE = 0.06  # Of the pieces, in every second sentence, that are made unknown.
_LIMB = {
    **dict.fromkeys(("arm", "hand", "elbow", "forearm"), "arm"),
    **dict.fromkeys(("leg", "foot", "heel", "knee", "thigh", "shin", "hip"), "leg"),
}
_SMALL = frozenset(("is", "are", "the", "a", "an", "his", "her", "their", "has"))
_CLAUSE = re.compile(
    r"(?P<whose>(?:the|his|her|their) )?(?P<part>(?!(?:he|she|they|some|person|man|woman|figure)\b)[a-z ]+?)"
    r" (?:is|are|stays|stay) (?P<how>.+)"
)
_ADDED = (" ", " ", " and ", ", ")
_HAS = ("has", "keeps", "holds", "with")


@dataclass(frozen=True)
class Examples:
    """N sentences and what each says."""

    pieces: Tensor  # [N, L]
    said: Tensor  # [N, S] 0 or 1


class CaptionSampler:
    """Draws sentences about one person and about two, without end."""

    def __init__(self, pieces: WordPieceTokenizer) -> None:
        self._pieces = pieces
        everything = labels_of(2)
        self.count = len(everything)
        place = {saying: number for number, saying in enumerate(everything)}
        self._all = everything
        self._said = {people: labels_of(people) for people in (1, 2)}
        self._rows = {people: [place[one] for one in said] for people, said in self._said.items()}
        self._limbs: dict[int, dict[tuple[int, str, str] | None, list[int]]] = {1: {}, 2: {}}
        for people, said in self._said.items():
            for number, saying in enumerate(said):
                self._limbs[people].setdefault(limb_of(saying), []).append(number)
            self._limbs[people].pop(None)
        self._weights = {
            people: [_TOUCHES if isinstance(one, Touch) else 1.0 for one in said] for people, said in self._said.items()
        }

    def wording(self, saying: int, random: Random, people: int) -> str:
        """One saying alone, by its place among all."""
        return shortened(sentence(self._all[saying], random, people > 1), random)

    def text(self, random: Random) -> tuple[str, list[int]]:
        """A sentence and the sayings in it."""
        people = 2 if random.random() < _ABOUT_TWO else 1
        count = 1 if random.random() < _ALONE else random.randint(2, _MOST)
        chosen = random.choices(range(len(self._rows[people])), self._weights[people], k=count)
        limb = self._limbs[people].get(limb_of(self._said[people][chosen[0]]), ())
        if count > 1 and limb and random.random() < _OF_ONE_LIMB:
            chosen = [chosen[0], *random.sample(limb, count - 1)]
            text = self._of_one_limb(chosen, people, random)
        else:
            said = [shortened(sentence(self._said[people][k], random, people > 1), random) for k in chosen]
            text = said[0] + "".join(random.choice(_JOINERS) + part for part in said[1:])
        if random.random() < _FILLED:
            words = text.split()
            words.insert(random.randint(0, len(words)), random.choice(_FILLERS))
            text = " ".join(words)
        return text + random.choice(_ENDS), [self._rows[people][k] for k in chosen]

    def _of_one_limb(self, chosen: Sequence[int], people: int, random: Random) -> str:
        """Several things of one limb in one breath: `left arm raised out to the side`."""
        text, *more = (sentence(self._said[people][k], random, people > 1) for k in chosen)
        text = shortened(text, random)
        for one in more:
            clause = _CLAUSE.search(one)
            text += random.choice(_ADDED) + (clause["how"] if clause else shortened(one, random))
        return text

    def batches(self, random: Random, size: int, count: int) -> Iterator[Examples]:
        """So many batches, each of sentences of about one length, in any order."""
        drawn = []
        for _ in range(size * count):
            text, said = self.text(random)
            drawn.append((self._numbers(text, random), said))
        drawn.sort(key=lambda one: len(one[0]))
        starts = list(range(0, len(drawn), size))
        random.shuffle(starts)
        for start in starts:
            yield self._examples(drawn[start : start + size])

    def _numbers(self, text: str, random: Random) -> list[int]:
        numbers = self._pieces.cut(text)[: MOST_PIECES - 2]
        if random.random() < 0.5:
            numbers = [self._pieces.unknown if random.random() < _NOISE else number for number in numbers]
        return [self._pieces.begin, *numbers, self._pieces.end]

    def _examples(self, drawn: Sequence[tuple[list[int], list[int]]]) -> Examples:
        rows = [torch.tensor(numbers) for numbers, _ in drawn]
        pieces = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self._pieces.pad)
        said = torch.zeros(len(drawn), self.count)
        for number, (_, sayings) in enumerate(drawn):
            said[number, sayings] = 1.0
        return Examples(pieces, said)


def limb_of(saying: Label) -> tuple[int, str, str] | None:
    """Person, side and arm or leg, of what is said of one limb alone."""
    if isinstance(saying, ArmHeight):
        return saying.person, saying.side, "arm"
    if isinstance(saying, JointAngle | Placement):
        # That the hip is in front of the hand is said of the hand.
        ends = (saying.joint,) if isinstance(saying, JointAngle) else (saying.point, saying.of_point)
        side, _, part = next((end for end in ends if not end.endswith(("_shoulder", "_hip"))), ends[0]).partition("_")
        return (saying.person, side, _LIMB[part]) if part in _LIMB else None
    if isinstance(saying, PoseAttribute):
        part = saying.kind.partition("_")[0]
        return (saying.person, saying.side, _LIMB[part]) if part in _LIMB else None
    return None


def shortened(text: str, random: Random) -> str:
    """The sentence, or the same without its verb or its small words, or with what is so put first or last."""
    style = random.random()
    if style < 0.4:
        return text
    clause = _CLAUSE.fullmatch(text)
    if clause is None or style < 0.5:
        return " ".join(word for word in text.split() if word not in _SMALL) or text
    whose, part, how = clause["whose"] or "", clause["part"], clause["how"]
    if style < 0.8:
        return f"{whose if style < 0.65 else ''}{part} {how}"
    if style < 0.9 and len(how.split()) < 3:
        return f"{whose}{how} {part}"
    return f"{random.choice(_HAS)} the {part} {how}"
