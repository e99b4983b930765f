"""WordPiece, transformer, clause splitting.

Text as pieces of words (WordPiece): the longest piece of a fixed list that a word begins with, and so on.

A small transformer that reads a text: one vector for each (BERT's layout, so that its weights can be begun with).

Free text taken apart so that each part says one thing of one limb, its subject carried on from the part before.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.core.errors import ModelFileError
from closemesh.weights.locate import find_model

PIECES_FILE = "language/pieces.txt"
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
PERSON_A, PERSON_B = "[A]", "[B]"
MOST_PIECES = 256  # Of one text; what is longer is cut off.
_LONGEST_WORD = 40
# A capital of its own is a person; but at the beginning of a sentence A may be the article of a noun.
_VERBS = "is|are|has|and|with|keeps|holds|touches|faces|leans|lies|stands|sits|carries|bears|bends|looks|lifts"
_NAMED = (
    (re.compile(rf"\b[Pp]erson (?:A|a|1|one)\b|(?:(?<![.!?\n] )(?<!^)\bA\b|\bA(?=['.,;:]| (?:{_VERBS})\b))"), PERSON_A),
    (re.compile(r"\b[Pp]erson (?:B|b|2|two)\b|\bB\b"), PERSON_B),
)
_SENTENCE_ENDS = re.compile(r"[.!?](?=\s|$)|[;\n]")
_TOKENS = re.compile(r"\[[A-Z]+\]|[a-z]+|\d|[^\sa-z\d]")


class WordPieceTokenizer:
    """The list, and texts cut by it."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = tuple(pieces)
        self._number = {piece: number for number, piece in enumerate(self.pieces)}
        self.pad, self.unknown, self.begin, self.end = (self._number[p] for p in (PAD, UNKNOWN, BEGIN, END))

    def __len__(self) -> int:
        return len(self.pieces)

    def number(self, piece: str) -> int:
        """Where a piece stands in the list."""
        return self._number[piece]

    def cut(self, text: str) -> list[int]:
        """Numbers of the pieces of a text, without a beginning and an end."""
        return [number for word in words_of(text) for number in self._cut_word(word)]

    def numbers(self, text: str) -> list[int]:
        """The same with a beginning and an end, MOST_PIECES at most."""
        return [self.begin, *self.cut(text)[: MOST_PIECES - 2], self.end]

    @lru_cache(maxsize=4096)  # noqa: B019 One list lives as long as the program.
    def _cut_word(self, word: str) -> tuple[int, ...]:
        if word in self._number:
            return (self._number[word],)
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else f"##{word[start:end]}"
                if piece in self._number:
                    found.append(self._number[piece])
                    start = end
                    break
            else:
                return (self.unknown,)
        return tuple(found) if len(word) <= _LONGEST_WORD else (self.unknown,)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, and what stands between semicolons; the whole of one that has neither."""
    return [part.strip() for part in _SENTENCE_ENDS.split(text) if part.strip()] or [text]


def words_of(text: str) -> list[str]:
    """Lower-case words and marks; people who are called by a letter become `[A]` and `[B]`."""
    plain = unicodedata.normalize("NFKD", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for pattern, name in _NAMED:
        plain = pattern.sub(f" {name} ", plain)
    lowered = re.sub(r"\[(?![AB]\])|(?<!\[A)(?<!\[B)\]", " ", plain)
    lowered = "".join(
        part if part in (PERSON_A, PERSON_B) else part.lower() for part in re.split(r"(\[[AB]\])", lowered)
    )
    return [word for word in _TOKENS.findall(lowered.replace("'s ", " ")) if not unicodedata.combining(word[0])]


def load_pieces(path: Path | None = None) -> WordPieceTokenizer:
    """The list of a file, one piece a line, or the bundled one. Raises ModelFileError."""
    path = path or find_model(PIECES_FILE)
    try:
        return WordPieceTokenizer(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise ModelFileError(f"{path} is no list of word pieces; reinstall closemesh") from error


@dataclass(frozen=True)
class TextEncoderConfig:
    """Sizes of MiniLM, with fewer layers and pieces of words."""

    pieces: int = 8000
    width: int = 384
    layers: int = 4
    heads: int = 12
    hidden: int = 1536


class TextEncoder(nn.Module):
    """Pieces and places embedded, then layers of self-attention, normalised after each; the mean over the pieces."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pieces = nn.Embedding(config.pieces, config.width)
        self.places = nn.Embedding(MOST_PIECES, config.width)
        for embedding in (self.pieces, self.places):
            nn.init.normal_(embedding.weight, std=0.02)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.layers))

    def forward(self, numbers: Tensor, known: Tensor) -> Tensor:
        """[B, width] of pieces [B, N] whose `known` [B, N] bool are not padding."""
        place = torch.arange(numbers.shape[1], device=numbers.device)
        x = self.norm(self.pieces(numbers) + self.places(place))
        for layer in self.layers:
            x = layer(x, known)
        weight = known[..., None].to(x.dtype)
        return (x * weight).sum(-2) / weight.sum(-2)


class TextLayer(nn.Module):
    """Attention and a feed-forward layer, each added and normalised."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.widen = nn.Linear(config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """x [B, N, C]; known [B, N] bool."""
        q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=known[:, None, None])
        x = self.attention_norm(x + self.out(found.transpose(1, 2).flatten(-2)))
        return self.norm(x + self.narrow(F.gelu(self.widen(x))))


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
