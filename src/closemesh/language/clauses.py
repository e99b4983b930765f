"""Free text taken apart so that each part says one thing of one limb, its subject carried on from the part before."""

from __future__ import annotations

import re
from dataclasses import dataclass

from closemesh.language.words import sentences_of

_BREAKS = re.compile(
    r",|:|\(|\)|\s[-\N{EN DASH}\N{EM DASH}]\s|\b(?:and|but|while|with|whereas|yet|though|plus|as well as)\b", re.I
)
_ONE = (
    "hand|fist|palm|wrist|arm|forearm|elbow|shoulder|leg|knee|thigh|shin|calf|foot|heel|ankle|upper arm|lower leg|"
    "lower arm|hip"
)
_MANY = (
    "hands|fists|palms|wrists|arms|forearms|elbows|shoulders|legs|knees|thighs|shins|calves|feet|heels|ankles|toes|hips"
)
_MIDDLE = (
    "head|face|gaze|chin|eyes|neck|torso|trunk|body|upper body|chest|back|spine|pelvis|waist|belly|stomach|weight|"
    "stance"
)
_LIMB = re.compile(rf"\b(?:(?P<side>left|right|both|other|opposite) )?(?P<noun>{_ONE}|{_MANY})\b", re.I)
_SUBJECT = re.compile(
    rf"^(?:(?:the|his|her|their|its|a|one|my|[A-Z]'s|person [A-Z]'s) )*(?:(?:left|right|both|other) )?"
    rf"(?:{_ONE}|{_MANY}|{_MIDDLE})\b",
    re.I,
)
_NOUN_PHRASE = re.compile(
    rf"^(?:(?:the|his|her|their|its|a|an|one|of|both|left|right|other|upper|lower|own|{_ONE}|{_MANY}|head|face|chest|"
    r"torso|trunk|body|belly|stomach|floor|ground|sides?)\b\s*)+$",
    re.I,
)
_ONES = re.compile(r"\b(left|right|other) one\b", re.I)
_THE_OTHER = re.compile(rf"\bthe other\b(?! (?:{_ONE}|{_MANY}|side|way|one|person))", re.I)
_OTHER_LIMB = re.compile(rf"\b(?:the )?(?:other|opposite) ({_ONE})\b", re.I)
_BARE = re.compile(rf"(?<!one )(?<!each )(?<!either )(?<!own )\b(?P<noun>{_ONE})\b", re.I)
_ABOUT_ALL = re.compile(
    r"\b(?:stand|sit|lie|lying|lean|kneel|crouch|squat|bend|bent over|look|walk|run|step|stride|lung|balanc|"
    r"crawl|seat|hunch|stoop|bow|twist|turn|face|facing|danc|jump|kick|punch|reach|point|touch|hold|upright|person|he|she|"
    r"someone|they|man|woman|figure|pose|posture|like|as if|bent (?:forward|over|down|double)|folded forward)|"
    r"(?-i:\b[A-Z]\b)",
    re.I,
)
_PERSON = re.compile(r"\b([AB])\b")
_LEADING = re.compile(r"^(?:(?:the|his|her|their|its|he|she|they) )+", re.I)
_OPPOSITE = {"left": "right", "right": "left"}


@dataclass
class _Subject:
    """What was spoken of last."""

    side: str = ""
    noun: str = ""
    words: str = ""
    person: str = ""


def clauses_of(text: str) -> list[str]:
    """The clauses of a text, one after the other; those without a subject get that of the one before."""
    found, person = [], ""
    for sentence in sentences_of(text):
        subject = _Subject(person=person)
        for part in _parts(sentence):
            found.append(_of_whom(_resolved(part, subject), subject))
        person = subject.person
    return found or [text]


def _parts(sentence: str) -> list[str]:
    """The sentence cut where a new thing may begin; what is no more than a list of limbs stays together."""
    parts, start, glue = [""], 0, ""
    for match in [*_BREAKS.finditer(sentence), None]:
        end = match.start() if match else len(sentence)
        part = sentence[start:end].strip()
        if parts[-1] and (not part or _is_list(parts[-1]) or _is_list(part)):
            parts[-1] = f"{parts[-1]}{glue}{part}".strip()
        else:
            parts.append(part)
        if match:
            start, glue = match.end(), ", " if match[0] == "," else f" {match[0].lower()} "
    return [part for part in parts if part]


def _is_list(part: str) -> bool:
    return bool(_NOUN_PHRASE.match(part))


def _of_whom(part: str, subject: _Subject) -> str:
    """The part with B in it, when it speaks on of B; what names nobody is read as about A or about somebody alone."""
    named = _PERSON.findall(part)
    if named:
        subject.person = named[0]
    elif subject.person == "B":
        told = _LEADING.sub("", part)
        return f"B's {told}" if _SUBJECT.match(part) else f"B {told}"
    return part


def _resolved(part: str, subject: _Subject) -> str:
    """The part with `one` and `the other` named; remembers of what it speaks."""
    other = _OPPOSITE.get(subject.side, "other")
    if subject.noun:
        part = _ONES.sub(lambda m: f"{other if m[1].lower() == 'other' else m[1]} {subject.noun}", part)
        part = _THE_OTHER.sub(f"the {other} {subject.noun}", part)
        part = _OTHER_LIMB.sub(lambda m: f"the {other} {m[1]}", part)
    limb = _LIMB.search(part)
    if limb and not limb["side"] and subject.side in _OPPOSITE:
        part = _BARE.sub(lambda m: f"{subject.side} {m['noun']}", part, count=1)
        limb = _LIMB.search(part)
    begins = _SUBJECT.match(part)
    if not begins and subject.words and not limb and not _ABOUT_ALL.search(part):
        return f"{subject.words} {part}"
    if limb:
        side = (limb["side"] or "").lower()
        subject.side = side if side in _OPPOSITE else subject.side if not side and limb["noun"] == subject.noun else ""
        subject.noun = limb["noun"].lower()
        subject.words = f"{side} {subject.noun}".strip()
    elif begins:
        subject.side, subject.noun, subject.words = "", "", begins[0]
    return part
