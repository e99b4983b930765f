"""Texts for the text encoder: clauses, WordPiece tokens, and a transformer in the layout of BERT."""

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

VOCABULARY_FILE = "language/pieces.txt"
PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
PERSON_A, PERSON_B = "[A]", "[B]"
MAX_TOKENS = 256  # Tokens of one text; the rest is cut off.
_MAX_LETTERS = 40
# A single capital is a person, but A at the start of a sentence may be an article.
_VERBS = "is|are|has|and|with|keeps|holds|touches|faces|leans|lies|stands|sits|carries|bears|bends|looks|lifts"
_PERSONS = (
    (re.compile(rf"\b[Pp]erson (?:A|a|1|one)\b|(?:(?<![.!?\n] )(?<!^)\bA\b|\bA(?=['.,;:]| (?:{_VERBS})\b))"), PERSON_A),
    (re.compile(r"\b[Pp]erson (?:B|b|2|two)\b|\bB\b"), PERSON_B),
)
_SENTENCE_ENDS = re.compile(r"[.!?](?=\s|$)|[;\n]")
_TOKENS = re.compile(r"\[[A-Z]+\]|[a-z]+|\d|[^\sa-z\d]")


class WordPieceTokenizer:
    """Splits words greedily into the longest entries of a vocabulary (WordPiece).

    Raises KeyError when the vocabulary lacks a special token.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._id = {entry: number for number, entry in enumerate(self.vocabulary)}
        self.pad, self.unknown, self.begin, self.end = (self._id[entry] for entry in (PAD, UNKNOWN, BEGIN, END))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text without begin and end; a token is an index into the vocabulary."""
        return [token for word in split_words(text) for token in self._tokenize_word(word)]

    def encode(self, text: str) -> list[int]:
        """Tokens of a text with begin and end, at most MAX_TOKENS."""
        return [self.begin, *self.tokenize(text)[: MAX_TOKENS - 2], self.end]

    @lru_cache(maxsize=4096)  # noqa: B019 A tokenizer lives as long as the program.
    def _tokenize_word(self, word: str) -> tuple[int, ...]:
        if word in self._id:
            return (self._id[word],)
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                entry = word[start:end] if start == 0 else f"##{word[start:end]}"
                if entry in self._id:
                    found.append(self._id[entry])
                    start = end
                    break
            else:
                return (self.unknown,)
        return tuple(found) if len(word) <= _MAX_LETTERS else (self.unknown,)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, also split at semicolons; the whole text when there is none."""
    return [part.strip() for part in _SENTENCE_ENDS.split(text) if part.strip()] or [text]


def split_words(text: str) -> list[str]:
    """Lower-case words and punctuation; people named by letter become `[A]` and `[B]`."""
    plain = unicodedata.normalize("NFKD", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for pattern, name in _PERSONS:
        plain = pattern.sub(f" {name} ", plain)
    lowered = re.sub(r"\[(?![AB]\])|(?<!\[A)(?<!\[B)\]", " ", plain)
    lowered = "".join(
        part if part in (PERSON_A, PERSON_B) else part.lower() for part in re.split(r"(\[[AB]\])", lowered)
    )
    return [word for word in _TOKENS.findall(lowered.replace("'s ", " ")) if not unicodedata.combining(word[0])]


def load_tokenizer(path: Path | None = None) -> WordPieceTokenizer:
    """The tokenizer with the vocabulary of a file, one entry a line, or the bundled one.

    Raises ModelFileError when the file cannot be read or lacks special tokens.
    """
    path = path or find_model(VOCABULARY_FILE)
    try:
        return WordPieceTokenizer(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise ModelFileError(f"{path} is no list of word pieces; reinstall closemesh") from error


@dataclass(frozen=True)
class TextTransformerConfig:
    """Sizes of MiniLM, with fewer layers and a smaller vocabulary."""

    vocabulary: int = 8000
    width: int = 384
    layers: int = 4
    heads: int = 12
    hidden: int = 1536


class TextTransformer(nn.Module):
    """Token and position embeddings, layers of self-attention with normalization after each, mean over the tokens."""

    def __init__(self, config: TextTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(MAX_TOKENS, config.width)
        for embedding in (self.token_embedding, self.position_embedding):
            nn.init.normal_(embedding.weight, std=0.02)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.layers))

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """Vectors [B, width] of token rows; tokens: [B, N]; valid: [B, N] bool, False for padding."""
        position = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.norm(self.token_embedding(tokens) + self.position_embedding(position))
        for layer in self.layers:
            x = layer(x, valid)
        weight = valid[..., None].to(x.dtype)
        return (x * weight).sum(-2) / weight.sum(-2)


class TextLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection and normalization."""

    def __init__(self, config: TextTransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attention_norm = nn.LayerNorm(config.width, eps=1e-12)
        self.widen = nn.Linear(config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Updated tokens [B, N, C]; x: [B, N, C]; valid: [B, N] bool, False for padding."""
        q, k, v = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None])
        x = self.attention_norm(x + self.out(attended.transpose(1, 2).flatten(-2)))
        return self.norm(x + self.narrow(F.gelu(self.widen(x))))


_BREAKS = re.compile(
    r",|:|\(|\)|\s[-\N{EN DASH}\N{EM DASH}]\s|\b(?:and|but|while|with|whereas|yet|though|plus|as well as)\b", re.I
)
_LIMB_NOUNS = (
    "hand|fist|palm|wrist|arm|forearm|elbow|shoulder|leg|knee|thigh|shin|calf|foot|heel|ankle|upper arm|lower leg|"
    "lower arm|hip"
)
_PLURAL_NOUNS = (
    "hands|fists|palms|wrists|arms|forearms|elbows|shoulders|legs|knees|thighs|shins|calves|feet|heels|ankles|toes|hips"
)
_MIDLINE_NOUNS = (
    "head|face|gaze|chin|eyes|neck|torso|trunk|body|upper body|chest|back|spine|pelvis|waist|belly|stomach|weight|"
    "stance"
)
_LIMB = re.compile(rf"\b(?:(?P<side>left|right|both|other|opposite) )?(?P<noun>{_LIMB_NOUNS}|{_PLURAL_NOUNS})\b", re.I)
_SUBJECT = re.compile(
    rf"^(?:(?:the|his|her|their|its|a|one|my|[A-Z]'s|person [A-Z]'s) )*(?:(?:left|right|both|other) )?"
    rf"(?:{_LIMB_NOUNS}|{_PLURAL_NOUNS}|{_MIDLINE_NOUNS})\b",
    re.I,
)
_NOUN_PHRASE = re.compile(
    rf"^(?:(?:the|his|her|their|its|a|an|one|of|both|left|right|other|upper|lower|own|{_LIMB_NOUNS}|{_PLURAL_NOUNS}|head|face|chest|"
    r"torso|trunk|body|belly|stomach|floor|ground|sides?)\b\s*)+$",
    re.I,
)
_ONES = re.compile(r"\b(left|right|other) one\b", re.I)
_THE_OTHER = re.compile(rf"\bthe other\b(?! (?:{_LIMB_NOUNS}|{_PLURAL_NOUNS}|side|way|one|person))", re.I)
_OTHER_LIMB = re.compile(rf"\b(?:the )?(?:other|opposite) ({_LIMB_NOUNS})\b", re.I)
_BARE = re.compile(rf"(?<!one )(?<!each )(?<!either )(?<!own )\b(?P<noun>{_LIMB_NOUNS})\b", re.I)
_WHOLE_BODY = re.compile(
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
    """The limb and the person of the last clause."""

    side: str = ""
    noun: str = ""
    words: str = ""
    person: str = ""


def split_clauses(text: str) -> list[str]:
    """The clauses of a text in order; a clause without a subject gets that of the clause before."""
    found, person = [], ""
    for sentence in split_sentences(text):
        subject = _Subject(person=person)
        for part in _parts(sentence):
            found.append(_with_person(_resolved(part, subject), subject))
        person = subject.person
    return found or [text]


def _parts(sentence: str) -> list[str]:
    """The sentence, split where a new clause may begin; lists of limbs stay together."""
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


def _with_person(part: str, subject: _Subject) -> str:
    """The clause with B inserted when it continues about B; a clause without a letter is about A or the only person."""
    named = _PERSON.findall(part)
    if named:
        subject.person = named[0]
    elif subject.person == "B":
        rest = _LEADING.sub("", part)
        return f"B's {rest}" if _SUBJECT.match(part) else f"B {rest}"
    return part


def _resolved(part: str, subject: _Subject) -> str:
    """The clause with `one` and `the other` replaced by limbs; updates `subject`."""
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
    if not begins and subject.words and not limb and not _WHOLE_BODY.search(part):
        return f"{subject.words} {part}"
    if limb:
        side = (limb["side"] or "").lower()
        subject.side = side if side in _OPPOSITE else subject.side if not side and limb["noun"] == subject.noun else ""
        subject.noun = limb["noun"].lower()
        subject.words = f"{side} {subject.noun}".strip()
    elif begins:
        subject.side, subject.noun, subject.words = "", "", begins[0]
    return part
