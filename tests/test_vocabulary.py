"""Identifiers, docstrings, comments and documentation use the plain words of the field."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "closemesh"

BANNED = set(
    """
    told tell tells said say saying sayings gist gists remark remarks lesson lessons witness heed heeded heeds
    doubles lever levers cast whom everybody somebody nobody strangers studio ledger liveliness farness nearness
    sighting sightings reckon reckoned looks film films filmed movie movies worth lone remade he him his
    colour colours coloured centre centred licence licences optimise optimised optimises optimiser initialise
    initialised minimise minimised rasterise rasterised normalise normalised linearise regularise recognise
    synchronise
    """.split()
)
"""Not in identifiers, docstrings, comments and documentation."""
BANNED_IN_IDENTIFIERS = set(
    """
    kept share shares spread spreads reach trust sure figures marks swing outward picture pictures apart carrier
    judges surprise cue cues
    """.split()
)
"""Plain English in a sentence, but no name for a thing."""

ALLOWED_IDENTIFIERS = {
    # Stages have shipped names: folders in out/stages, sections of the configuration, keys of scene.json.
    "initialise",
    "optimise",
    "optimised",
    "Initialise",
    "Optimise",
    "InitialiseConfig",
    "OptimiseConfig",
    # `accept_licence` is a command line flag, `licence` a key of result files and of the manifest.
    "accept_licence",
    # Fields of statements are keys of descriptions.json and words of the question to a model.
    "apart",
    "carrier",
    "licence",
}
# What a sentence may quote: stage names, flags, keys, file names and addresses stand in backticks or are written whole.
QUOTED = re.compile(r"`[^`]*`|``[^`]*``|\"[^\"\n]*\"|https?://\S+|--[\w-]+|\([\w./-]+\.(?:md|py|json|toml|npz|jpg)\)")


def words_of_identifier(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def words_of_text(text: str) -> list[str]:
    return re.findall(r"[a-z]+", QUOTED.sub(" ", text).lower())


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that the file defines: functions, classes, arguments, variables, attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Of modules, classes and functions, and the strings that explain a field or a constant."""
    for node in ast.walk(tree):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                if isinstance(statement.value.value, str):
                    yield statement.lineno, statement.value.value


def faults_of(source: str) -> list[str]:
    """Line and word of everything in a Python file that is not of the vocabulary."""
    tree = ast.parse(source)
    faults = []
    for line, name in identifiers(tree):
        if name not in ALLOWED_IDENTIFIERS:
            wrong = (BANNED | BANNED_IN_IDENTIFIERS) & set(words_of_identifier(name))
            faults += [f"{line}: identifier {name}"] if wrong else []
    for line, text in [*docstrings(tree), *comments(source)]:
        faults += [f"{line}: {word}" for word in words_of_text(text) if word in BANNED]
    return faults


def source_files() -> list[Path]:
    """Of the package, the examples and the tests, without this file: it holds the banned words."""
    tests = set((ROOT / "tests").rglob("*.py")) - {Path(__file__).resolve()}
    return sorted([*SOURCE.rglob("*.py"), *(ROOT / "examples").glob("*.py"), *tests])


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_source_uses_the_vocabulary(file: Path) -> None:
    assert not faults_of(file.read_text())


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("README.md")])


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_documentation_uses_the_vocabulary(page: Path) -> None:
    text = re.sub(r"```.*?```", " ", page.read_text(), flags=re.DOTALL)  # Code is checked where it comes from.
    text = re.sub(r"^ {4,}.*$", " ", text, flags=re.MULTILINE)
    wrong = [word for word in words_of_text(text) if word in BANNED]
    assert not wrong


def test_the_test_finds_banned_words() -> None:
    source = 'def looks_of(told):\n    """Who told him. `told` is quoted."""\n    kept_worth = told  # A film.\n'
    assert faults_of(source) == [
        "1: identifier looks_of",
        "1: identifier told",
        "3: identifier kept_worth",
        "2: told",
        "2: him",
        "3: film",
    ]
    assert not faults_of('def optimise(licence):\n    """Keep what was kept: a share of the picture."""\n')
