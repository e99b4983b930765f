"""Statements to English and back (data:.

Plain English for every statement: templates with slots, and the phrases that may fill each slot.

Statements in plain English, in many wordings.

Statements out of text or JSON values: the way back from `say`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import product
from random import Random
from typing import Any

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.text.statements import ALWAYS, BENDING_JOINTS, KINDS, POINTS, Placement, Statement, TimedStatement

Phrases = Mapping[str, tuple[str, ...]]
"""For each word of the vocabulary the phrases that say it; the first is the plainest."""

THEIR = "their"  # In a template: the other point is the same person's.


@dataclass(frozen=True)
class Template:
    """One way to say a kind of statement. Slots are {field}; {!relation} says a relation the other way round."""

    text: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Fields that this sentence says without a slot."""


def _plain(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {word: (word.replace("_", " "),) for word in words}


def _parts() -> dict[str, tuple[str, ...]]:
    also = {"upper_trunk": "upper body", "lower_trunk": "lower body"}
    for side in ("left", "right"):
        also |= {f"{side}_lower_leg": f"{side} shin", f"{side}_upper_arm": f"upper {side} arm"}
    plain = _plain(CAPSULE_PARTS)
    return {part: (*plain[part], also[part]) if part in also else plain[part] for part in CAPSULE_PARTS}


_BENDS = {
    "straight": ("straight", "stretched", "fully extended"),
    "slightly_bent": ("slightly bent", "a little bent"),
    "bent": ("bent", "bent at about a right angle", "clearly bent"),
    "sharply_bent": ("sharply bent", "bent as far as it goes"),
}
_ARM_HEIGHTS = {
    "down": ("hangs down", "is down along the trunk"),
    "low": ("is slightly raised", "is raised a little"),
    "shoulder_height": ("is raised to shoulder height", "is stretched out from the shoulder"),
    "overhead": ("is raised overhead", "is raised high"),
}
_RELATIONS = {
    "above": ("above", "higher than", "over"),
    "in_front_of": ("in front of", "further forward than"),
    "left_of": ("to the left of", "further left than"),
}
_INVERSE = {
    "above": ("below", "lower than", "under"),
    "in_front_of": ("behind", "further back than"),
    "left_of": ("to the right of", "further right than"),
}
_SPACINGS = {
    "close": ("close together", "near each other"),
    "shoulder_width": ("shoulder width apart", "about as far apart as the shoulders"),
    "wide": ("wide apart", "far apart", "spread wide"),
}
_POSTURES = {
    "upright": ("is upright", "holds the trunk upright"),
    "leaning_forward": ("leans forward", "is bent forward"),
    "leaning_back": ("leans back", "is tilted back"),
    "face_up": ("is face up", "has the chest turned up"),
    "face_down": ("is face down", "has the chest turned down"),
    "on_left_side": ("is on the left side", "lies on the left side"),
    "on_right_side": ("is on the right side", "lies on the right side"),
    "upside_down": ("is upside down", "is head down"),
}
_FACINGS = {
    "facing_each_other": ("face each other", "are face to face", "are turned to each other"),
    "back_to_back": ("are back to back", "have their backs to each other"),
    "side_by_side": ("are side by side", "are beside each other, looking the same way"),
}

PHRASES: Mapping[str, Mapping[str, Phrases]] = {
    "joint_angle": {"joint": _plain(BENDING_JOINTS), "bend": _BENDS},
    "arm_height": {"side": _plain(("left", "right")), "height": _ARM_HEIGHTS},
    "placement": {
        "point": _plain(POINTS),
        "of_point": _plain(POINTS),
        "relation": _RELATIONS,
        "!relation": _INVERSE,
    },
    "spacing": {"limbs": _plain(("hands", "elbows", "knees", "feet")), "apart": _SPACINGS},
    "posture": {"posture": _POSTURES},
    "facing": {"how": _FACINGS},
    "touch": {"part_a": _parts(), "part_b": _parts()},
    "depth_order": {},
    "support": {},
}

_TOUCHES = ("touches", "is on", "is in contact with", "rests on", "presses against")
_BEHIND = {"how": "behind"}

TEMPLATES: Mapping[str, tuple[Template, ...]] = {
    "joint_angle": (
        Template("{person}'s {joint} is {bend}"),
        Template("the {joint} of {person} is {bend}"),
        Template("{person} keeps the {joint} {bend}"),
        Template("{person} has the {joint} {bend}"),
    ),
    "arm_height": (
        Template("{person}'s {side} arm {height}"),
        Template("the {side} arm of {person} {height}"),
    ),
    "placement": (
        Template("{person}'s {point} is {relation} {of_person}'s {of_point}"),
        Template("{of_person}'s {of_point} is {!relation} {person}'s {point}"),
        Template("the {point} of {person} is {relation} the {of_point} of {of_person}"),
        Template("the {of_point} of {of_person} is {!relation} the {point} of {person}"),
        Template(f"{{person}}'s {{point}} is {{relation}} {THEIR} {{of_point}}"),
        Template(f"{{person}} has the {{point}} {{relation}} {THEIR} {{of_point}}"),
    ),
    "spacing": (
        Template("{person}'s {limbs} are {apart}"),
        Template("the {limbs} of {person} are {apart}"),
        Template("{person} has the {limbs} {apart}"),
    ),
    "posture": (Template("{person} {posture}"),),
    "facing": (
        Template("{person_a} and {person_b} {how}"),
        Template("{person_b} and {person_a} {how}"),
        Template("{person_a} is behind {person_b}", _BEHIND),
        Template("{person_a} faces the back of {person_b}", _BEHIND),
        Template("{person_b} has {person_a} at the back", _BEHIND),
    ),
    "touch": (
        *(Template(f"{{person_a}}'s {{part_a}} {verb} {{person_b}}'s {{part_b}}") for verb in _TOUCHES),
        *(Template(f"{{person_b}}'s {{part_b}} {verb} {{person_a}}'s {{part_a}}") for verb in _TOUCHES),
        Template("{person_a} touches {person_b}'s {part_b} with the {part_a}"),
        Template("{person_b} touches {person_a}'s {part_a} with the {part_b}"),
    ),
    "depth_order": (
        Template("{nearer} is nearer to the camera than {farther}"),
        Template("{farther} is farther from the camera than {nearer}"),
        Template("seen from the camera, {nearer} is in front of {farther}"),
        Template("seen from the camera, {farther} is behind {nearer}"),
    ),
    "support": (
        Template("{carrier} carries {carried}"),
        Template("{carrier} holds {carried} off the ground"),
        Template("{carrier} bears the weight of {carried}"),
        Template("{carried} is carried by {carrier}"),
    ),
}


SLOT = re.compile(r"\{(!?\w+)\}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPANS = ("from {start} to {end}, {text}", "between {start} and {end}, {text}", "{text} ({start} to {end})")
BEGINNING, END = "the beginning", "the end"
_LOWERED = ("The ", "Person ", "Seen ")  # How a sentence begins that does not begin with a letter.


def letter(person: int) -> str:
    """What a person is called in text and in pictures: A for 0, ..., Z for 25, then P26."""
    return _LETTERS[person] if person < len(_LETTERS) else f"P{person}"


def paraphrases(statement: Statement) -> Iterator[str]:
    """Every way to say it, the plainest first."""
    for template in TEMPLATES[statement.kind]:
        if _fits(template, statement):
            slots = SLOT.findall(template.text)
            for phrases in product(*(_phrases(statement, slot) for slot in slots)):
                yield _filled(template.text, phrases)


def render_statement(statement: Statement, random: Random | None = None) -> str:
    """One sentence without a full stop: the plainest, or a random one."""
    return next(paraphrases(statement)) if random is None else random.choice(list(paraphrases(statement)))


def render_timed(told: TimedStatement, random: Random | None = None) -> str:
    """The same with the seconds between which it holds, when these are known."""
    text = render_statement(told.statement, random)
    if (told.start, told.end) == ALWAYS:
        return text
    span = _SPANS[0] if random is None else random.choice(_SPANS)
    if not span.startswith("{text}") and text.startswith(_LOWERED):
        text = text[0].lower() + text[1:]
    start = BEGINNING if told.start == ALWAYS[0] else f"{told.start:.2f} s"
    end = END if told.end == ALWAYS[1] else f"{told.end:.2f} s"
    said = span.format(start=start, end=end, text=text)
    return said[0].upper() + said[1:]


def describe(told: Iterable[TimedStatement], seed: int | None = None) -> str:
    """Sentences about people, one after the other; with a seed in wordings drawn by it."""
    random = None if seed is None else Random(seed)
    return " ".join(f"{render_timed(one, random)}." for one in told)


def _fits(template: Template, statement: Statement) -> bool:
    slots = SLOT.findall(template.text)
    known = PHRASES[statement.kind]
    if any(getattr(statement, name) != word for name, word in template.fixed.items()):
        return False
    if THEIR in template.text.split() and isinstance(statement, Placement):
        return statement.person == statement.of_person
    return all(getattr(statement, slot.lstrip("!")) in known[slot] for slot in slots if slot in known)


def _phrases(statement: Statement, slot: str) -> tuple[str, ...]:
    value = getattr(statement, slot.lstrip("!"))
    known = PHRASES[statement.kind]
    return known[slot][value] if slot in known else (letter(value), f"person {letter(value)}")


def _filled(text: str, phrases: tuple[str, ...]) -> str:
    rest = iter(phrases)
    sentence = SLOT.sub(lambda _: next(rest), text)
    return sentence[0].upper() + sentence[1:]


_PERSON = r"(?:person )?(?P<{slot}>[a-z]|p\d+)"
_SECONDS = rf"(?P<start>{BEGINNING}|[\d.]+ s) (?:to|and) (?P<end>{END}|[\d.]+ s)"
_SPAN_PATTERNS = (
    re.compile(rf"(?:from|between) {_SECONDS}, (?P<text>.*)", re.IGNORECASE),
    re.compile(rf"(?P<text>.*) \({_SECONDS}\)", re.IGNORECASE),
)
_SENTENCE_END = re.compile(r"\.(?:\s+|$)|\n+")


@dataclass(frozen=True)
class _Reader:
    """One template the other way round."""

    kind: str
    pattern: re.Pattern[str]
    template: Template
    words: Mapping[str, Mapping[str, str]]
    """For each slot the word of each phrase."""

    def read(self, text: str) -> Statement | None:
        """The statement, or None when this template does not say it. Raises ValueError when it says nonsense."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        values: dict[str, Any] = dict(self.template.fixed)
        for slot, phrase in match.groupdict().items():
            name = slot.removeprefix("not_")
            values[name] = self.words[slot][phrase] if slot in self.words else person_of(phrase)
        if THEIR in self.template.text.split():
            values["of_person"] = values["person"]
        return KINDS[self.kind](**values)


def parse_statement(text: str) -> Statement:
    """The statement that one sentence says, capitals and a full stop or not.

    Raises ValueError when it is not in the vocabulary.
    """
    plain = " ".join(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()).rstrip(" .")
    for reader in _readers():
        statement = reader.read(plain)
        if statement is not None:
            return statement
    raise ValueError(f"'{text}' is not in the vocabulary; write it as in \"{_example()}\"")


def parse_timed(text: str) -> TimedStatement:
    """One sentence, perhaps with the seconds between which it holds. Raises ValueError."""
    plain = " ".join(text.split()).rstrip(" .")
    for pattern in _SPAN_PATTERNS:
        match = pattern.fullmatch(plain)
        if match:
            start = ALWAYS[0] if match["start"].lower() == BEGINNING else float(match["start"].rstrip(" sS"))
            end = ALWAYS[1] if match["end"].lower() == END else float(match["end"].rstrip(" sS"))
            return TimedStatement(parse_statement(match["text"]), start, end)
    return TimedStatement(parse_statement(plain))


def read_description(text: str) -> tuple[TimedStatement, ...]:
    """All sentences of a text. Raises ValueError that quotes the first one that is not in the vocabulary."""
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(text))
    return tuple(parse_timed(sentence) for sentence in sentences if sentence)


def to_json(statement: Statement) -> dict[str, str]:
    """The statement as plain values: its kind, people by letter, words."""
    people = statement.person_fields()
    values = {f.name: getattr(statement, f.name) for f in fields(statement)}
    return {
        "kind": statement.kind,
        **{name: letter(value) if name in people else value for name, value in values.items()},
    }


def from_json(values: Mapping[str, Any]) -> Statement:
    """The inverse of `to_json`; people may be letters or numbers. Raises ValueError that says what is wrong."""
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"kind '{values.get('kind')}' is unknown; it is one of {', '.join(KINDS)}")
    names = [f.name for f in fields(kind)]
    missing, unknown = set(names) - set(values), set(values) - {*names, "kind"}
    if missing or unknown:
        wrong = f"lacks {', '.join(sorted(missing))}" if missing else f"has no {', '.join(sorted(unknown))}"
        raise ValueError(f"a statement of the kind {kind.kind} {wrong}; it has {', '.join(names)}")
    people = kind.person_fields()
    words: dict[str, Any] = {name: person_of(values[name]) if name in people else values[name] for name in names}
    return kind(**words)


def person_of(name: Any) -> int:
    """The number of a person who is called by letter, or by number already. Raises ValueError."""
    if isinstance(name, int) and not isinstance(name, bool):
        return name
    told = str(name).lower().removeprefix("person ")
    if re.fullmatch("[a-z]", told):
        return ord(told) - ord("a")
    if re.fullmatch(r"p\d+", told):
        return int(told[1:])
    raise ValueError(f"'{name}' is no person; the first person is A")


@lru_cache
def _readers() -> tuple[_Reader, ...]:
    return tuple(_reader(kind, template) for kind, templates in TEMPLATES.items() for template in templates)


def _reader(kind: str, template: Template) -> _Reader:
    words: dict[str, dict[str, str]] = {}

    def group(slot: str) -> str:
        phrases = PHRASES[kind].get(slot)
        name = slot.replace("!", "not_")
        if phrases is None:
            return _PERSON.format(slot=name)
        words[name] = {phrase: word for word, said in phrases.items() for phrase in said}
        return f"(?P<{name}>{'|'.join(re.escape(phrase) for phrase in words[name])})"

    pieces = SLOT.split(template.text)  # Text and slots by turns.
    pattern = "".join(group(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    return _Reader(kind, re.compile(pattern), template, words)


def _example() -> str:
    return render_statement(KINDS["touch"](0, "left_hand", 1, "upper_trunk"))  # type: ignore[call-arg]
