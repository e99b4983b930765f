"""Sentences to learn to read from: the writer's own wordings and looser ones, drawn at random."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from closemesh.language.say import letter, say
from closemesh.language.statements import (
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
from closemesh.training import loose_phrases as loose
from closemesh.training.gists import Gist

_OWN_SHARE = 0.4  # Of the sentences that are the writer's own wordings.
_NAMELESS = 0.6  # Of the sentences about somebody alone that do not call him by a letter.
_TERSE = 0.15  # Of the sentences that leave out small words.
_EXCHANGED = 0.3  # Of the words that have synonyms.
_EXCHANGEABLE = re.compile(
    rf"\b(?:{'|'.join(sorted(map(re.escape, loose.SYNONYMS), key=len, reverse=True))})\b", re.IGNORECASE
)
_SMALL = frozenset(("is", "are", "the", "a", "an", "his", "her", "their"))
_SLOT = re.compile(r"\{(who|a|b|part:[^}]+|both:[^}]+)\}")
_WRITER_NAMED = re.compile(r"\b(?:[Pp]erson )?A's\b")
_WRITER_OF = re.compile(r" of (?:[Pp]erson )?A\b")
_WRITER_WHO = re.compile(r"\b(?:[Pp]erson )?A\b")


def sentence(statement: Statement | Gist, random: Random, named: bool) -> str:
    """One way to say it, without a full stop. named: people are called by their letters, as they must where two are."""
    said = _other_words(_said(statement, random, named), random)
    return _terse(said) if random.random() < _TERSE else said


def _other_words(said: str, random: Random) -> str:
    """Some words of it exchanged for others that mean the same."""

    def other(match: re.Match[str]) -> str:
        return random.choice(loose.SYNONYMS[match[0].lower()]) if random.random() < _EXCHANGED else match[0]

    return _EXCHANGEABLE.sub(other, said)


def _terse(said: str) -> str:
    """Without small words, as in a note."""
    return " ".join(word for word in said.split() if word not in _SMALL) or said


def _said(statement: Statement | Gist, random: Random, named: bool) -> str:
    if isinstance(statement, Gist):
        return _fill(_choice(statement.texts, random, named), random, named)
    if random.random() < _OWN_SHARE:
        said = say(statement, random)
        return said if named or random.random() > _NAMELESS else _nameless(said, random)
    return _fill(_loose(statement, random, named), random, named, statement)


def _nameless(said: str, random: Random) -> str:
    possessive = random.choice(("the", "his", "her", "their"))
    who = random.choice(tuple(name for name in loose.ANYBODY if name))
    return _WRITER_WHO.sub(who, _WRITER_OF.sub("", _WRITER_NAMED.sub(possessive, said)))


def _fill(text: str, random: Random, named: bool, statement: Statement | None = None) -> str:
    """The text with people and parts in place of its slots."""
    people = statement.people if statement else (0,)
    if isinstance(statement, Facing | Support | Touch):
        people = tuple(getattr(statement, name) for name in statement.person_fields())
    names = {"who": people[0], "a": people[0], "b": people[-1]}
    nameless = not named and random.random() < _NAMELESS

    def slot(match: re.Match[str]) -> str:
        kind, _, words = match[1].partition(":")
        if kind in names:
            return random.choice(loose.ANYBODY) if nameless else _name(names[kind], random)
        possessed = random.choice(loose.OWN if nameless or (not named and random.random() < 0.5) else loose.POSSESSED)
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
            return _sided(_choice(loose.LIMB_WORDS[joint][said.bend], random, named), side)
        limb = random.choice(loose.LIMB_OF[joint]).format(side=side)
        return f"{{part:{limb}}} {random.choice(loose.BENDS[joint][said.bend])}"
    if isinstance(said, ArmHeight):
        limb = random.choice(("arm", "arm", "upper arm"))
        return f"{{part:{said.side} {limb}}} {random.choice(loose.ARM_HEIGHTS[said.height])}"
    if isinstance(said, Placement):
        return _placement(said, random)
    if isinstance(said, Spacing):
        return _choice(loose.SPACINGS[said.limbs, said.apart], random, named)
    if isinstance(said, Posture):
        return random.choice(loose.POSTURES[said.posture])
    if isinstance(said, Facing):
        return random.choice(loose.FACINGS[said.how])
    if isinstance(said, Touch):
        first, second = _part(said.part_a, random), _part(said.part_b, random)
        ends = [("a", first), ("b", second)]
        random.shuffle(ends)
        (one, part), (other, of_part) = ends
        return f"{{{one}}}'s {part} {random.choice(loose.TOUCHES)} {{{other}}}'s {of_part}"
    if isinstance(said, Support):
        return random.choice(loose.SUPPORTS)
    return say(said, random)


def _placement(said: Placement, random: Random) -> str:
    side, limb = _side_and_limb(said.point)
    of_side, of_limb = _side_and_limb(said.of_point)
    if said.person != said.of_person:
        ends = (f"{{a}}'s {_point(said.point, random)}", f"{{b}}'s {_point(said.of_point, random)}")
        return f"{ends[0]} {random.choice(loose.RELATIONS[said.relation])} {ends[1]}"
    if said.relation == "left_of" and limb == of_limb and random.random() < 0.6:
        return random.choice(loose.CROSSED[limb])
    texts = loose.PLACEMENTS.get((limb, said.relation, of_limb), ())
    same_side = side == of_side or "head" in (limb, of_limb) or limb == of_limb
    if texts and same_side and random.random() < 0.6:
        return _sided(random.choice(texts), side or of_side)
    first, second = _point(said.point, random), _point(said.of_point, random)
    if random.random() < 0.5:
        second = f"other {of_limb}" if limb == of_limb and random.random() < 0.5 else second
        return f"{{part:{first}}} {random.choice(loose.RELATIONS[said.relation])} the {second}"
    return f"{{part:{second}}} {random.choice(loose.INVERSE[said.relation])} the {first}"


def _sided(text: str, side: str) -> str:
    """Parts of a text on one side: `{part:hand}` to `{part:left hand}`, `{part:foot:other}` to the other one."""
    other = "right" if side == "left" else "left"

    def part(match: re.Match[str]) -> str:
        return f"{{part:{other if match[2] else side} {match[1]}}}"

    text = re.sub(r"\{part:([^}:]+)(:other)?\}", part, text)
    return text.replace("{side}", side).replace("{other}", other)


def _side_and_limb(point: str) -> tuple[str, str]:
    side, _, limb = point.partition("_")
    return (side, limb) if limb else ("", side)


def _point(point: str, random: Random) -> str:
    side, limb = _side_and_limb(point)
    return random.choice(loose.POINTS[limb]).format(side=side)


def _part(part: str, random: Random) -> str:
    side, _, limb = part.partition("_")
    if side in ("left", "right"):
        return random.choice(loose.PARTS[limb]).format(side=side)
    return random.choice(loose.PARTS[part])
