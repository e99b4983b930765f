"""Phrases of training captions: the tables of `data/*.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from closemesh.text.phrase_files import NO_OTHER_KEYS, load_phrases

_FOLDER = Path(__file__).with_name("data")

Phrases = Mapping[str, tuple[str, ...]]
"""For each key its phrases, from which one is drawn."""


@dataclass(frozen=True)
class AttributePhrases:
    """Clauses for each kind of pose attribute; slots as in the file."""

    __pydantic_config__ = NO_OTHER_KEYS

    whole_body: Phrases
    one_side: Phrases


@dataclass(frozen=True)
class StatementPhrases:
    """Clauses, predicates and names for statements; slots as in the file."""

    __pydantic_config__ = NO_OTHER_KEYS

    touches: tuple[str, ...]
    supports: tuple[str, ...]
    possessives: tuple[str, ...]
    """Phrases for a part of a person who is named by letter."""
    unnamed_possessives: tuple[str, ...]
    """Phrases for a part of a person without a name."""
    unnamed_people: tuple[str, ...]
    joint_names: Phrases
    """Phrases for elbow, knee and hip."""
    bends: Phrases
    """Predicates of a joint, by angle."""
    joint_angles: Mapping[str, Phrases]
    """Clauses by elbow, knee and hip, then by angle."""
    arm_heights: Phrases
    points: Phrases
    """Names of points, by point without its side."""
    relations: Phrases
    inverse_relations: Phrases
    placements: Phrases
    """Clauses by point, relation and other point, without sides and with spaces between them."""
    crossed: Phrases
    """Clauses for a right limb that is left of the left one, by limb."""
    spacings: Mapping[str, Phrases]
    """Clauses by limbs, then by distance."""
    postures: Phrases
    facings: Phrases
    parts: Phrases
    """Names of body parts, by part without its side."""


@dataclass(frozen=True)
class Synonyms:
    """Words that may replace others."""

    __pydantic_config__ = NO_OTHER_KEYS

    synonyms: Phrases
    participles: Mapping[str, str]
    """The participle of each verb in the third person."""


@dataclass(frozen=True)
class CompositeEntry:
    """One composite label as the file states it, before sides are filled in."""

    __pydantic_config__ = NO_OTHER_KEYS

    all_of: Phrases
    texts: tuple[str, ...]


@dataclass(frozen=True)
class NamedPoses:
    """Composite labels, in label order."""

    __pydantic_config__ = NO_OTHER_KEYS

    one_limb: tuple[CompositeEntry, ...]
    """For the left and for the right side."""
    both_limbs: tuple[CompositeEntry, ...]
    pose: tuple[CompositeEntry, ...]
    sided_pose: tuple[CompositeEntry, ...]
    """For the left and for the right side."""


def attribute_phrases() -> AttributePhrases:
    """The phrases of `attribute_phrases.toml`. Raises ModelFileError when the file is damaged."""
    return load_phrases(_FOLDER / "attribute_phrases.toml", AttributePhrases)


def statement_phrases() -> StatementPhrases:
    """The phrases of `statement_phrases.toml`. Raises ModelFileError when the file is damaged."""
    return load_phrases(_FOLDER / "statement_phrases.toml", StatementPhrases)


def synonyms() -> Synonyms:
    """The words of `synonyms.toml`. Raises ModelFileError when the file is damaged."""
    return load_phrases(_FOLDER / "synonyms.toml", Synonyms)


def named_poses() -> NamedPoses:
    """The composite labels of `named_poses.toml`. Raises ModelFileError when the file is damaged."""
    return load_phrases(_FOLDER / "named_poses.toml", NamedPoses)
