"""Endless random captions with their labels, joined and shortened as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from closemesh.lab.training.caption_labels import Label, labels_of
from closemesh.lab.training.paraphrasing import paraphrase_label
from closemesh.lab.training.pose_attributes import PoseAttribute
from closemesh.text.statements import ArmHeight, JointAngle, Placement, Touch
from closemesh.text.text_encoder import MAX_TOKENS, WordPieceTokenizer

_TWO_PEOPLE = 0.35  # Share of captions about two people.
_MAX_LABELS = 3  # Labels of one caption.
_ONE_LABEL = 0.6  # Share of captions with one label.
_ONE_LIMB = 0.5  # Share of the captions with several labels that are about one limb.
_TOUCH_WEIGHT = 0.15  # Frequency of a touch, relative to other labels.
_JOINERS = (", ", ", ", " and ", ", and ", " while ", " with ", ", but ", "; ")
_FILLERS = (
    *("quite", "fairly", "rather", "clearly", "just", "still", "low", "relaxed", "loosely", "firmly", "more or less"),
    *("straight", "fully", "gently", "deeply", "a bit", "almost", "there", "nearly", "steadily", "more", "comfortably"),
)
_FILLER = 0.2  # Share of captions with one superfluous word.
_ENDINGS = ("", "", ".", ",")
_UNKNOWN = 0.06  # Share of the tokens of every second caption that become the unknown token.
_LIMBS = {
    **dict.fromkeys(("arm", "hand", "elbow", "forearm"), "arm"),
    **dict.fromkeys(("leg", "foot", "heel", "knee", "thigh", "shin", "hip"), "leg"),
}
_FUNCTION_WORDS = frozenset(("is", "are", "the", "a", "an", "his", "her", "their", "has"))
_CLAUSE = re.compile(
    r"(?P<whose>(?:the|his|her|their) )?(?P<part>(?!(?:he|she|they|some|person|man|woman|figure)\b)[a-z ]+?)"
    r" (?:is|are|stays|stay) (?P<how>.+)"
)
_LIMB_JOINERS = (" ", " ", " and ", ", ")
_VERBS = ("has", "keeps", "holds", "with")

Limb = tuple[int, str, str]
"""Person, side, and `arm` or `leg`."""


@dataclass(frozen=True)
class CaptionBatch:
    """B captions and their labels."""

    tokens: Tensor  # [B, N] padded
    labels: Tensor  # [B, L] 0 or 1


@dataclass(frozen=True)
class _LabelSet:
    """Labels of captions about one person or about two."""

    labels: tuple[Label, ...]
    rows: tuple[int, ...]
    """Of each label among the labels of two people."""
    weights: tuple[float, ...]
    of_limb: dict[Limb, list[int]]
    """Labels about each limb alone, as indices of `labels`."""


class CaptionSampler:
    """Draws captions about one person and about two, without end."""

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        self._tokenizer = tokenizer
        self._all = labels_of(2)
        self.num_labels = len(self._all)
        row = {label: number for number, label in enumerate(self._all)}
        self._sets = {people: _label_set(labels_of(people), row) for people in (1, 2)}

    def paraphrase(self, row: int, random: Random, people: int) -> str:
        """A caption of one label, given by its row among all; letters are used where `people` is 2."""
        return shorten(paraphrase_label(self._all[row], random, people > 1), random)

    def draw(self, random: Random) -> tuple[str, list[int]]:
        """A caption and the rows of its labels."""
        people = 2 if random.random() < _TWO_PEOPLE else 1
        given = self._sets[people]
        count = 1 if random.random() < _ONE_LABEL else random.randint(2, _MAX_LABELS)
        chosen = random.choices(range(len(given.labels)), given.weights, k=count)
        limb = limb_of(given.labels[chosen[0]])
        of_limb = given.of_limb[limb] if limb else ()
        if count > 1 and of_limb and random.random() < _ONE_LIMB:
            chosen = [chosen[0], *random.sample(of_limb, count - 1)]
            text = _join_limb([given.labels[k] for k in chosen], people, random)
        else:
            parts = [shorten(paraphrase_label(given.labels[k], random, people > 1), random) for k in chosen]
            text = parts[0] + "".join(random.choice(_JOINERS) + part for part in parts[1:])
        if random.random() < _FILLER:
            words = text.split()
            words.insert(random.randint(0, len(words)), random.choice(_FILLERS))
            text = " ".join(words)
        return text + random.choice(_ENDINGS), [given.rows[k] for k in chosen]

    def batches(self, random: Random, size: int, count: int) -> Iterator[CaptionBatch]:
        """`count` batches of `size` captions in random order; captions of one batch have about the same length."""
        drawn = []
        for _ in range(size * count):
            text, rows = self.draw(random)
            drawn.append((self._encode(text, random), rows))
        drawn.sort(key=lambda one: len(one[0]))
        starts = list(range(0, len(drawn), size))
        random.shuffle(starts)
        for start in starts:
            yield self._batch(drawn[start : start + size])

    def _encode(self, text: str, random: Random) -> list[int]:
        tokenizer = self._tokenizer
        tokens = tokenizer.tokenize(text)[: MAX_TOKENS - 2]
        if random.random() < 0.5:
            tokens = [tokenizer.unknown if random.random() < _UNKNOWN else token for token in tokens]
        return [tokenizer.begin, *tokens, tokenizer.end]

    def _batch(self, drawn: Sequence[tuple[list[int], list[int]]]) -> CaptionBatch:
        tokens = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row, _ in drawn], batch_first=True, padding_value=self._tokenizer.pad
        )
        labels = torch.zeros(len(drawn), self.num_labels)
        for number, (_, rows) in enumerate(drawn):
            labels[number, rows] = 1.0
        return CaptionBatch(tokens, labels)


def limb_of(label: Label) -> Limb | None:
    """The limb that a label is about; None when it is about more than one limb, or about none."""
    if isinstance(label, ArmHeight):
        return label.person, label.side, "arm"
    if isinstance(label, JointAngle | Placement):
        # A hip in front of a hand is a statement about the hand.
        ends = (label.joint,) if isinstance(label, JointAngle) else (label.point, label.of_point)
        side, _, part = next((end for end in ends if not end.endswith(("_shoulder", "_hip"))), ends[0]).partition("_")
        return (label.person, side, _LIMBS[part]) if part in _LIMBS else None
    if isinstance(label, PoseAttribute):
        part = label.kind.partition("_")[0]
        return (label.person, label.side, _LIMBS[part]) if part in _LIMBS else None
    return None


def shorten(text: str, random: Random) -> str:
    """The clause as it is, or without its verb or function words, or with the predicate in another place."""
    style = random.random()
    if style < 0.4:
        return text
    clause = _CLAUSE.fullmatch(text)
    if clause is None or style < 0.5:
        return " ".join(word for word in text.split() if word not in _FUNCTION_WORDS) or text
    whose, part, how = clause["whose"] or "", clause["part"], clause["how"]
    if style < 0.8:
        return f"{whose if style < 0.65 else ''}{part} {how}"
    if style < 0.9 and len(how.split()) < 3:
        return f"{whose}{how} {part}"
    return f"{random.choice(_VERBS)} the {part} {how}"


def _label_set(labels: Sequence[Label], row: dict[Label, int]) -> _LabelSet:
    of_limb: dict[Limb, list[int]] = {}
    for number, label in enumerate(labels):
        limb = limb_of(label)
        if limb:
            of_limb.setdefault(limb, []).append(number)
    weights = tuple(_TOUCH_WEIGHT if isinstance(label, Touch) else 1.0 for label in labels)
    return _LabelSet(tuple(labels), tuple(row[label] for label in labels), weights, of_limb)


def _join_limb(labels: Sequence[Label], people: int, random: Random) -> str:
    """Several predicates of one limb: `left arm raised out to the side`."""
    text, *more = (paraphrase_label(label, random, people > 1) for label in labels)
    text = shorten(text, random)
    for one in more:
        clause = _CLAUSE.search(one)
        text += random.choice(_LIMB_JOINERS) + (clause["how"] if clause else shorten(one, random))
    return text
