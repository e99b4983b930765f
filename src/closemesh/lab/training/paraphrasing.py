"""Random clauses for labels, from the phrases of `data/*.toml` and of the grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from random import Random

from closemesh.lab.training.caption_labels import CompositeLabel, Label
from closemesh.lab.training.phrase_data import attribute_phrases, statement_phrases, synonyms
from closemesh.lab.training.pose_attributes import PoseAttribute
from closemesh.text.grammar import person_letter, render_statement
from closemesh.text.statements import (
    ArmHeight,
    Facing,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Support,
    Touch,
)

_GRAMMAR = 0.3  # Share of statements that are rendered by the grammar of the product.
_UNNAMED = 0.75  # Share of clauses about one person that do not use a letter.
_PARTICIPLE = 0.35  # Share of clauses about one person with a participle in place of the verb: `leaning to the left`.
_REPLACED = 0.25  # Share of the words with synonyms that are replaced.
_MIDLINE = frozenset(
    ("head", "face", "gaze", "torso", "trunk", "body", "upper body", "chest", "shoulders", "weight", "back")
)
_VERB = re.compile(r"^\{who\} (\w+)")
_SLOT = re.compile(r"\{(who|a|b|part:[^}]+|both:[^}]+)\}")
_GRAMMAR_POSSESSIVE = re.compile(r"\b(?:[Pp]erson )?A's\b")
_GRAMMAR_OF = re.compile(r" of (?:[Pp]erson )?A\b")
_GRAMMAR_PERSON = re.compile(r"\b(?:[Pp]erson )?A\b")


def paraphrase_label(label: Label, random: Random, named: bool) -> str:
    """A random clause for a label, without a full stop.

    named: people are called by their letters, as captions about two people require. Raises ModelFileError when a file
    of phrases is damaged.
    """
    return _replace_words(_clause(label, random, named), random)


def _replace_words(text: str, random: Random) -> str:
    """The text with some words replaced by synonyms."""

    def other(match: re.Match[str]) -> str:
        return random.choice(synonyms().synonyms[match[0].lower()]) if random.random() < _REPLACED else match[0]

    return _replaceable().sub(other, text)


@lru_cache
def _replaceable() -> re.Pattern[str]:
    """Words with synonyms, the longest first."""
    words = sorted(map(re.escape, synonyms().synonyms), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


def _clause(label: Label, random: Random, named: bool) -> str:
    if isinstance(label, CompositeLabel):
        return _fill(_choose(label.texts, random, named), random, named, (label.person,))
    if isinstance(label, PoseAttribute):
        texts = attribute_phrases().one_side if label.side else attribute_phrases().whole_body
        text = _set_side(_choose(texts[label.kind], random, named), label.side)
        return _fill(text, random, named, (label.person,))
    if random.random() < _GRAMMAR:
        text = render_statement(label, random)
        return text if named or random.random() > _UNNAMED else _without_letters(text, random)
    people = label.people
    if isinstance(label, Facing | Support | Touch):
        people = tuple(getattr(label, name) for name in label.person_fields())
    return _fill(_statement_text(label, random, named), random, named, people)


def _without_letters(text: str, random: Random) -> str:
    """A sentence of the grammar about person A with pronouns or nouns in place of the letter."""
    possessive = random.choice(("the", "his", "her", "their"))
    who = random.choice(tuple(name for name in statement_phrases().unnamed_people if name))
    return _GRAMMAR_PERSON.sub(who, _GRAMMAR_OF.sub("", _GRAMMAR_POSSESSIVE.sub(possessive, text)))


def _fill(text: str, random: Random, named: bool, people: tuple[int, ...]) -> str:
    """The text with people and parts in place of its slots; `people` in the order of the slots {a} and {b}."""
    phrases = statement_phrases()
    if not named and random.random() < _PARTICIPLE:
        text = _VERB.sub(lambda match: synonyms().participles.get(match[1], match[0]), text)
    numbers = {"who": people[0], "a": people[0], "b": people[-1]}
    unnamed = not named and random.random() < _UNNAMED

    def slot(match: re.Match[str]) -> str:
        kind, _, words = match[1].partition(":")
        if kind in numbers:
            return random.choice(phrases.unnamed_people) if unnamed else _name(numbers[kind], random)
        without_name = unnamed or (not named and random.random() < 0.5)
        possessive = random.choice(phrases.unnamed_possessives if without_name else phrases.possessives)
        return possessive.format(who=_name(people[0], random), part=words)

    return " ".join(_SLOT.sub(slot, text).split())


def _name(person: int, random: Random) -> str:
    letter = person_letter(person)
    return random.choice((letter, letter, f"person {letter}"))


def _choose(texts: Sequence[str], random: Random, named: bool) -> str:
    """One of the texts; where people are named, one with a slot for a person."""
    if named:
        texts = [text for text in texts if _SLOT.search(text)] or [f"{{who}}: {text}" for text in texts]
    return random.choice(texts)


def _statement_text(statement: Statement, random: Random, named: bool) -> str:
    """A text with slots for people and parts, sides filled in."""
    phrases = statement_phrases()
    if isinstance(statement, JointAngle):
        return _joint_angle(statement, random, named)
    if isinstance(statement, ArmHeight):
        limb = random.choice(("arm", "arm", "upper arm"))
        return f"{{part:{statement.side} {limb}}} {random.choice(phrases.arm_heights[statement.height])}"
    if isinstance(statement, Placement):
        return _placement(statement, random)
    if isinstance(statement, Spacing):
        return _choose(phrases.spacings[statement.limbs][statement.apart], random, named)
    if isinstance(statement, Posture):
        return random.choice(phrases.postures[statement.posture])
    if isinstance(statement, Facing):
        return random.choice(phrases.facings[statement.how])
    if isinstance(statement, Touch):
        return _touch(statement, random)
    if isinstance(statement, Support):
        return random.choice(phrases.supports)
    return render_statement(statement, random)


def _joint_angle(statement: JointAngle, random: Random, named: bool) -> str:
    phrases = statement_phrases()
    side, _, joint = statement.joint.partition("_")
    if random.random() < 0.5:
        return _set_side(_choose(phrases.joint_angles[joint][statement.bend], random, named), side)
    limb = random.choice(phrases.joint_names[joint]).format(side=side)
    return f"{{part:{limb}}} {random.choice(phrases.bends[statement.bend])}"


def _touch(statement: Touch, random: Random) -> str:
    ends = [("a", _part_name(statement.part_a, random)), ("b", _part_name(statement.part_b, random))]
    random.shuffle(ends)
    (first, part), (second, of_part) = ends
    return f"{{{first}}}'s {part} {random.choice(statement_phrases().touches)} {{{second}}}'s {of_part}"


def _placement(statement: Placement, random: Random) -> str:
    phrases = statement_phrases()
    side, limb = _side_and_limb(statement.point)
    of_side, of_limb = _side_and_limb(statement.of_point)
    if statement.person != statement.of_person:
        ends = (
            f"{{a}}'s {_point_name(statement.point, random)}",
            f"{{b}}'s {_point_name(statement.of_point, random)}",
        )
        return f"{ends[0]} {random.choice(phrases.relations[statement.relation])} {ends[1]}"
    if statement.relation == "left_of" and limb == of_limb and random.random() < 0.6:
        return random.choice(phrases.crossed[limb])
    texts = phrases.placements.get(f"{limb} {statement.relation} {of_limb}", ())
    same_side = side == of_side or "head" in (limb, of_limb) or limb == of_limb
    if texts and same_side and random.random() < 0.6:
        return _set_side(random.choice(texts), side or of_side)
    first, second = _point_name(statement.point, random), _point_name(statement.of_point, random)
    if random.random() < 0.5:
        second = f"other {of_limb}" if limb == of_limb and random.random() < 0.5 else second
        return f"{{part:{first}}} {random.choice(phrases.relations[statement.relation])} the {second}"
    return f"{{part:{second}}} {random.choice(phrases.inverse_relations[statement.relation])} the {first}"


def _set_side(text: str, side: str) -> str:
    """Parts of a text on one side: `{part:hand}` to `{part:left hand}`, `{part:foot:other}` to the other side."""
    other = "right" if side == "left" else "left"

    def part(match: re.Match[str]) -> str:
        return match[0] if match[1] in _MIDLINE else f"{{part:{other if match[2] else side} {match[1]}}}"

    text = re.sub(r"\{part:([^}:]+)(:other)?\}", part, text)
    return text.replace("{side}", side).replace("{other}", other)


def _side_and_limb(point: str) -> tuple[str, str]:
    side, _, limb = point.partition("_")
    return (side, limb) if limb else ("", side)


def _point_name(point: str, random: Random) -> str:
    side, limb = _side_and_limb(point)
    return random.choice(statement_phrases().points[limb]).format(side=side)


def _part_name(part: str, random: Random) -> str:
    side, _, limb = part.partition("_")
    if side in ("left", "right"):
        return random.choice(statement_phrases().parts[limb]).format(side=side)
    return random.choice(statement_phrases().parts[part])
