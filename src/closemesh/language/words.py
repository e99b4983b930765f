"""Text as pieces of words (WordPiece): the longest piece of a fixed list that a word begins with, and so on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from closemesh.errors import ModelFileError
from closemesh.weights.search import find_model

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


class Pieces:
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


def load_pieces(path: Path | None = None) -> Pieces:
    """The list of a file, one piece a line, or the bundled one. Raises ModelFileError."""
    path = path or find_model(PIECES_FILE)
    try:
        return Pieces(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise ModelFileError(f"{path} is no list of word pieces; reinstall closemesh") from error
