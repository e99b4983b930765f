"""Statements to English sentences and back (parsing); sentences and phrases come from `phrases.toml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from closemesh.text.phrase_files import NO_OTHER_KEYS, load_phrases
from closemesh.text.statements import ALWAYS, KINDS, Placement, Statement, TimedStatement

_PHRASE_FILE = Path(__file__).with_name("phrases.toml")
_SAME_PERSON = "their"  # In a template: the other point is the same person's.
_SLOT = re.compile(r"\{(!?\w+)\}")
_MAX_PEOPLE = 1000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPANS = ("from {start} to {end}, {text}", "between {start} and {end}, {text}", "{text} ({start} to {end})")
_BEGINNING, _END = "the beginning", "the end"
_LOWERED = ("The ", "Person ", "Seen ")  # First words that lose their capital inside a sentence; letters keep it.
_PERSON = r"(?:person )?(?P<{slot}>[a-z]|p\d+)"
_SECONDS = rf"(?P<start>{_BEGINNING}|[\d.]+ s) (?:to|and) (?P<end>{_END}|[\d.]+ s)"
_SPAN_PATTERNS = (
    re.compile(rf"(?:from|between) {_SECONDS}, (?P<text>.*)", re.IGNORECASE),
    re.compile(rf"(?P<text>.*) \({_SECONDS}\)", re.IGNORECASE),
)
_SENTENCE_END = re.compile(r"\.(?:\s+|$)|\n+")

Phrases = Mapping[str, tuple[str, ...]]
"""For each word of the vocabulary its phrases; the first is the default."""


@dataclass(frozen=True)
class Template:
    """One sentence for a kind of statement, with slots {field} and {!relation} for the inverse relation."""

    __pydantic_config__ = NO_OTHER_KEYS

    text: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Values of fields that have no slot in this sentence."""

    @property
    def slots(self) -> list[str]:
        """Names of the slots, in order."""
        return _SLOT.findall(self.text)

    @property
    def same_person(self) -> bool:
        """Whether both points belong to one person."""
        return _SAME_PERSON in self.text.split()


@dataclass(frozen=True)
class _PhraseFile:
    """Content of `phrases.toml`. Raises ValueError for a kind, field or word that is not in the vocabulary."""

    __pydantic_config__ = NO_OTHER_KEYS

    templates: Mapping[str, tuple[str | Template, ...]]
    phrases: Mapping[str, Phrases]

    def __post_init__(self) -> None:
        words = {_phrase_table(name): words for kind in KINDS.values() for name, words in kind.choices.items()}
        words["inverse_relation"] = words["relation"]
        wrong = [name for name in (*self.templates, *KINDS) if name not in KINDS or name not in self.templates]
        wrong += [name for name in self.phrases if name not in words]
        wrong += [word for name, table in self.phrases.items() for word in table if word not in words.get(name, table)]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is not in the vocabulary, or has no templates")


@dataclass(frozen=True)
class _KindGrammar:
    """Sentences of one kind of statement, and the phrases of each slot that does not hold a person."""

    templates: tuple[Template, ...]
    phrases: Mapping[str, Phrases]

    def fits(self, template: Template, statement: Statement) -> bool:
        """Whether the template can express the statement."""
        if any(getattr(statement, name) != word for name, word in template.fixed.items()):
            return False
        if template.same_person and isinstance(statement, Placement):
            return statement.person == statement.of_person
        return all(
            getattr(statement, slot.lstrip("!")) in self.phrases[slot]
            for slot in template.slots
            if slot in self.phrases
        )

    def phrases_of(self, statement: Statement, slot: str) -> tuple[str, ...]:
        """The phrases that may fill a slot for this statement."""
        value = getattr(statement, slot.lstrip("!"))
        if slot in self.phrases:
            return self.phrases[slot][value]
        return person_letter(value), f"person {person_letter(value)}"


def person_letter(person: int) -> str:
    """The name of a person in text and in images: A for 0, ..., Z for 25, then P26."""
    return _LETTERS[person] if person < len(_LETTERS) else f"P{person}"


def parse_person(name: Any) -> int:
    """The number of a person given by letter or by number. Raises ValueError for anything else."""
    if isinstance(name, int) and not isinstance(name, bool) and -_MAX_PEOPLE < name < _MAX_PEOPLE:
        return name
    plain = str(name).lower().removeprefix("person ")
    if re.fullmatch("[a-z]", plain):
        return ord(plain) - ord("a")
    if re.fullmatch(r"p[0-9]{1,3}", plain):
        return int(plain[1:])
    raise ValueError(f"'{name}' is no person; the first person is A")


def paraphrases(statement: Statement) -> Iterator[str]:
    """All sentences for a statement, without a full stop, the default first."""
    grammar = _grammar()[statement.kind]
    for template in grammar.templates:
        if grammar.fits(template, statement):
            for phrases in product(*(grammar.phrases_of(statement, slot) for slot in template.slots)):
                yield _fill(template.text, phrases)


def render_statement(statement: Statement, random: Random | None = None) -> str:
    """One sentence without a full stop: the default, or a random one."""
    return next(paraphrases(statement)) if random is None else random.choice(list(paraphrases(statement)))


def render_timed(timed: TimedStatement, random: Random | None = None) -> str:
    """One sentence with the seconds between which it holds, if these are limited."""
    text = render_statement(timed.statement, random)
    if (timed.start, timed.end) == ALWAYS:
        return text
    span = _SPANS[0] if random is None else random.choice(_SPANS)
    if not span.startswith("{text}") and text.startswith(_LOWERED):
        text = text[0].lower() + text[1:]
    start = _BEGINNING if timed.start == ALWAYS[0] else f"{timed.start:.2f} s"
    end = _END if timed.end == ALWAYS[1] else f"{timed.end:.2f} s"
    return _capitalized(span.format(start=start, end=end, text=text))


def render_description(statements: Iterable[TimedStatement], seed: int | None = None) -> str:
    """Sentences one after the other: the default ones, or random ones drawn with a seed."""
    random = None if seed is None else Random(seed)
    return " ".join(f"{render_timed(timed, random)}." for timed in statements)


def parse_statement(text: str) -> Statement:
    """The statement of one sentence; capitals and a full stop do not matter.

    Raises ValueError when the sentence is not in the vocabulary.
    """
    plain = " ".join(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()).rstrip(" .")
    for parser in _parsers():
        statement = parser.parse(plain)
        if statement is not None:
            return statement
    raise ValueError(f"'{text}' is not in the vocabulary; write it as in \"{_example()}\"")


def parse_timed(text: str) -> TimedStatement:
    """The statement of one sentence with its seconds, if it has any. Raises ValueError."""
    plain = " ".join(text.split()).rstrip(" .")
    for pattern in _SPAN_PATTERNS:
        match = pattern.fullmatch(plain)
        if match:
            start = ALWAYS[0] if match["start"].lower() == _BEGINNING else float(match["start"].rstrip(" sS"))
            end = ALWAYS[1] if match["end"].lower() == _END else float(match["end"].rstrip(" sS"))
            return TimedStatement(parse_statement(match["text"]), start, end)
    return TimedStatement(parse_statement(plain))


def parse_description(text: str) -> tuple[TimedStatement, ...]:
    """The statements of all sentences of a text. Raises ValueError that quotes the first one that cannot be parsed."""
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(text))
    return tuple(parse_timed(sentence) for sentence in sentences if sentence)


def to_json(statement: Statement) -> dict[str, str]:
    """The statement as JSON values: its kind, people by letter, words."""
    people = statement.person_fields()
    values = {f.name: getattr(statement, f.name) for f in fields(statement)}
    return {
        "kind": statement.kind,
        **{name: person_letter(value) if name in people else value for name, value in values.items()},
    }


def from_json(values: Mapping[str, Any]) -> Statement:
    """The statement of JSON values, with people by letter or number. Raises ValueError that states what is wrong."""
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        raise ValueError(f"kind '{values.get('kind')}' is unknown; it is one of {', '.join(KINDS)}")
    names = [f.name for f in fields(kind)]
    missing, unknown = set(names) - set(values), set(values) - {*names, "kind"}
    if missing or unknown:
        wrong = f"lacks {', '.join(sorted(missing))}" if missing else f"has no {', '.join(sorted(unknown))}"
        raise ValueError(f"a statement of the kind {kind.kind} {wrong}; it has {', '.join(names)}")
    people = kind.person_fields()
    words: dict[str, Any] = {name: parse_person(values[name]) if name in people else values[name] for name in names}
    return kind(**words)


def _fill(text: str, phrases: tuple[str, ...]) -> str:
    rest = iter(phrases)
    return _capitalized(_SLOT.sub(lambda _: next(rest), text))


def _capitalized(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


@lru_cache
def _grammar() -> dict[str, _KindGrammar]:
    """For each kind of statement its sentences and phrases."""
    file = load_phrases(_PHRASE_FILE, _PhraseFile)
    found = {}
    for kind, entries in file.templates.items():
        templates = tuple(Template(entry) if isinstance(entry, str) else entry for entry in entries)
        choices = KINDS[kind].choices
        slots = dict.fromkeys(slot for template in templates for slot in template.slots if slot.lstrip("!") in choices)
        phrases = {slot: _slot_phrases(file.phrases, slot, choices[slot.lstrip("!")]) for slot in slots}
        found[kind] = _KindGrammar(templates, phrases)
    return found


def _slot_phrases(tables: Mapping[str, Phrases], slot: str, words: tuple[str, ...]) -> Phrases:
    """The phrases of a slot by word; a field without a table uses its words with spaces."""
    table = tables.get(_phrase_table(slot))
    if table is None:
        return {word: (word.replace("_", " "),) for word in words}
    return {word: table[word] for word in words if word in table}


def _phrase_table(slot: str) -> str:
    """The table of `phrases.toml` for a slot: `part_a` and `part_b` share one."""
    return f"inverse_{slot[1:]}" if slot.startswith("!") else re.sub("_[ab]$", "", slot)


@dataclass(frozen=True)
class _Parser:
    """One template as a pattern."""

    kind: str
    pattern: re.Pattern[str]
    template: Template
    words: Mapping[str, Mapping[str, str]]
    """For each slot the word of each phrase."""

    def parse(self, text: str) -> Statement | None:
        """The statement, or None when the template does not match. Raises ValueError when it is contradictory."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        values: dict[str, Any] = dict(self.template.fixed)
        for slot, phrase in match.groupdict().items():
            name = slot.removeprefix("not_")
            values[name] = self.words[slot][phrase] if slot in self.words else parse_person(phrase)
        if self.template.same_person:
            values["of_person"] = values["person"]
        return KINDS[self.kind](**values)


@lru_cache
def _parsers() -> tuple[_Parser, ...]:
    return tuple(
        _parser(kind, template, grammar.phrases)
        for kind, grammar in _grammar().items()
        for template in grammar.templates
    )


def _parser(kind: str, template: Template, slot_phrases: Mapping[str, Phrases]) -> _Parser:
    words: dict[str, dict[str, str]] = {}

    def group(slot: str) -> str:
        table = slot_phrases.get(slot)
        name = slot.replace("!", "not_")
        if table is None:
            return _PERSON.format(slot=name)
        words[name] = {phrase: word for word, phrases in table.items() for phrase in phrases}
        return f"(?P<{name}>{'|'.join(re.escape(phrase) for phrase in words[name])})"

    pieces = _SLOT.split(template.text)  # Text and slots alternate.
    pattern = "".join(group(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
    return _Parser(kind, re.compile(pattern), template, words)


def _example() -> str:
    return render_statement(KINDS["touch"](0, "left_hand", 1, "upper_trunk"))  # type: ignore[call-arg]
