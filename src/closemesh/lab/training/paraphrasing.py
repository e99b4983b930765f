"""Sentences to learn to read from: the writer's own wordings and looser ones, drawn at random."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from closemesh.lab.training import body_phrases, limb_phrases, place_phrases, remark_phrases
from closemesh.lab.training.caption_labels import CompositeLabel, Label
from closemesh.lab.training.pose_attributes import PoseAttribute
from closemesh.lab.training.synonyms import DOING, SYNONYMS
from closemesh.text.grammar import letter, render_statement
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

_OWN_SHARE = 0.3  # Of the sentences that are the writer's own wordings.
_NAMELESS = 0.75  # Of the sentences about somebody alone that do not call him by a letter.
_DOING = 0.35  # Of those that name nobody and tell what somebody is doing: `leaning to the left`.
_EXCHANGED = 0.25  # Of the words that have synonyms.
_EXCHANGEABLE = re.compile(
    rf"\b(?:{'|'.join(sorted(map(re.escape, SYNONYMS), key=len, reverse=True))})\b", re.IGNORECASE
)
_MIDDLE = frozenset(
    ("head", "face", "gaze", "torso", "trunk", "body", "upper body", "chest", "shoulders", "weight", "back")
)
_DOES = re.compile(r"^\{who\} (\w+)")
_SLOT = re.compile(r"\{(who|a|b|part:[^}]+|both:[^}]+)\}")
_WRITER_NAMED = re.compile(r"\b(?:[Pp]erson )?A's\b")
_WRITER_OF = re.compile(r" of (?:[Pp]erson )?A\b")
_WRITER_WHO = re.compile(r"\b(?:[Pp]erson )?A\b")


def sentence(saying: Label, random: Random, named: bool) -> str:
    """One way to say it, without a full stop. named: people are called by their letters, as they must where two are."""
    return _other_words(_said(saying, random, named), random)


def _other_words(said: str, random: Random) -> str:
    """Some words of it exchanged for others that mean the same."""

    def other(match: re.Match[str]) -> str:
        return random.choice(SYNONYMS[match[0].lower()]) if random.random() < _EXCHANGED else match[0]

    return _EXCHANGEABLE.sub(other, said)


def _said(saying: Label, random: Random, named: bool) -> str:
    if isinstance(saying, CompositeLabel):
        return _fill(_choice(saying.texts, random, named), random, named, (saying.person,))
    if isinstance(saying, PoseAttribute):
        texts = remark_phrases.OF_SIDE if saying.side else remark_phrases.OF_ALL
        text = _sided(_choice(texts[saying.kind], random, named), saying.side)
        return _fill(text, random, named, (saying.person,))
    if random.random() < _OWN_SHARE:
        said = render_statement(saying, random)
        return said if named or random.random() > _NAMELESS else _nameless(said, random)
    people = saying.people
    if isinstance(saying, Facing | Support | Touch):
        people = tuple(getattr(saying, name) for name in saying.person_fields())
    return _fill(_loose(saying, random, named), random, named, people)


def _nameless(said: str, random: Random) -> str:
    possessive = random.choice(("the", "his", "her", "their"))
    who = random.choice(tuple(name for name in body_phrases.ANYBODY if name))
    return _WRITER_WHO.sub(who, _WRITER_OF.sub("", _WRITER_NAMED.sub(possessive, said)))


def _fill(text: str, random: Random, named: bool, people: tuple[int, ...]) -> str:
    """The text with people and parts in place of its slots."""
    if not named and random.random() < _DOING:
        text = _DOES.sub(lambda match: DOING.get(match[1], match[0]), text)
    names = {"who": people[0], "a": people[0], "b": people[-1]}
    nameless = not named and random.random() < _NAMELESS

    def slot(match: re.Match[str]) -> str:
        kind, _, words = match[1].partition(":")
        if kind in names:
            return random.choice(body_phrases.ANYBODY) if nameless else _name(names[kind], random)
        possessed = random.choice(
            body_phrases.OWN if nameless or (not named and random.random() < 0.5) else body_phrases.POSSESSED
        )
        return possessed.format(who=_name(people[0], random), part=words)

    return " ".join(_SLOT.sub(slot, text).split())


def _name(person: int, random: Random) -> str:
    return random.choice((letter(person), letter(person), f"person {letter(person)}"))


def _choice(texts: Sequence[str], random: Random, named: bool) -> str:
    """One of them; where people are named, one that names somebody."""
    if named:
        texts = [text for text in texts if _SLOT.search(text)] or [f"{{who}}: {text}" for text in texts]
    return random.choice(texts)


def _loose(said: Statement, random: Random, named: bool) -> str:
    """A text with slots, sides put in."""
    if isinstance(said, JointAngle):
        side, _, joint = said.joint.partition("_")
        if random.random() < 0.5:
            return _sided(_choice(limb_phrases.LIMB_WORDS[joint][said.bend], random, named), side)
        limb = random.choice(limb_phrases.LIMB_OF[joint]).format(side=side)
        return f"{{part:{limb}}} {random.choice(limb_phrases.BENDS[joint][said.bend])}"
    if isinstance(said, ArmHeight):
        limb = random.choice(("arm", "arm", "upper arm"))
        return f"{{part:{said.side} {limb}}} {random.choice(limb_phrases.ARM_HEIGHTS[said.height])}"
    if isinstance(said, Placement):
        return _placement(said, random)
    if isinstance(said, Spacing):
        return _choice(place_phrases.SPACINGS[said.limbs, said.apart], random, named)
    if isinstance(said, Posture):
        return random.choice(body_phrases.POSTURES[said.posture])
    if isinstance(said, Facing):
        return random.choice(body_phrases.FACINGS[said.how])
    if isinstance(said, Touch):
        first, second = _part(said.part_a, random), _part(said.part_b, random)
        ends = [("a", first), ("b", second)]
        random.shuffle(ends)
        (one, part), (other, of_part) = ends
        return f"{{{one}}}'s {part} {random.choice(body_phrases.TOUCHES)} {{{other}}}'s {of_part}"
    if isinstance(said, Support):
        return random.choice(body_phrases.SUPPORTS)
    return render_statement(said, random)


def _placement(said: Placement, random: Random) -> str:
    side, limb = _side_and_limb(said.point)
    of_side, of_limb = _side_and_limb(said.of_point)
    if said.person != said.of_person:
        ends = (f"{{a}}'s {_point(said.point, random)}", f"{{b}}'s {_point(said.of_point, random)}")
        return f"{ends[0]} {random.choice(place_phrases.RELATIONS[said.relation])} {ends[1]}"
    if said.relation == "left_of" and limb == of_limb and random.random() < 0.6:
        return random.choice(place_phrases.CROSSED[limb])
    texts = place_phrases.PLACEMENTS.get((limb, said.relation, of_limb), ())
    same_side = side == of_side or "head" in (limb, of_limb) or limb == of_limb
    if texts and same_side and random.random() < 0.6:
        return _sided(random.choice(texts), side or of_side)
    first, second = _point(said.point, random), _point(said.of_point, random)
    if random.random() < 0.5:
        second = f"other {of_limb}" if limb == of_limb and random.random() < 0.5 else second
        return f"{{part:{first}}} {random.choice(place_phrases.RELATIONS[said.relation])} the {second}"
    return f"{{part:{second}}} {random.choice(place_phrases.INVERSE[said.relation])} the {first}"


def _sided(text: str, side: str) -> str:
    """Parts of a text on one side: `{part:hand}` to `{part:left hand}`, `{part:foot:other}` to the other one."""
    other = "right" if side == "left" else "left"

    def part(match: re.Match[str]) -> str:
        return match[0] if match[1] in _MIDDLE else f"{{part:{other if match[2] else side} {match[1]}}}"

    text = re.sub(r"\{part:([^}:]+)(:other)?\}", part, text)
    return text.replace("{side}", side).replace("{other}", other)


def _side_and_limb(point: str) -> tuple[str, str]:
    side, _, limb = point.partition("_")
    return (side, limb) if limb else ("", side)


def _point(point: str, random: Random) -> str:
    side, limb = _side_and_limb(point)
    return random.choice(place_phrases.POINTS[limb]).format(side=side)


def _part(part: str, random: Random) -> str:
    side, _, limb = part.partition("_")
    if side in ("left", "right"):
        return random.choice(body_phrases.PARTS[limb]).format(side=side)
    return random.choice(body_phrases.PARTS[part])
