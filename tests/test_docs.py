"""README, docs and examples: links, quoted commands, sizes, generated parts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from generated_docs import ROOT, pages, regenerated

from closemesh.cli.main import COMMANDS, load_command
from closemesh.text.grammar import parse_statement
from closemesh.text.statements import KINDS

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^ {4}|`)(closemesh [^`\n#]+)", re.MULTILINE)


def all_pages() -> list[Path]:
    return [*pages(), *sorted((ROOT / "models").rglob("README.md")), ROOT / "CHANGELOG.md"]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 9 * 1024


@pytest.mark.parametrize("page", pages(), ids=name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert text == regenerated(text), "run python tests/generated_docs.py"


@pytest.mark.parametrize("page", all_pages(), ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_anchors_lead_to_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", page.read_text()):
        other = (page.parent / target) if target else page
        headings = [re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in HEADING.findall(other.read_text())]
        assert anchor in headings, f"{target}#{anchor}"


def quoted_commands() -> list[tuple[str, str]]:
    found = []
    for page in all_pages():
        text = re.sub(r"\\\n\s*", "", page.read_text())
        found += [(name(page), command.strip().rstrip(",.;:")) for command in COMMAND.findall(text)]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), quoted_commands(), ids=lambda value: value)
def test_quoted_commands_exist_with_their_options(page: str, command: str) -> None:
    words = shlex.split(command.replace("...", "").replace("\\", ""))[1:]
    words = [word.split("|")[0] for word in words]  # One of several commands of the same form.
    if not words or words[0].startswith("-") or words[0] == "COMMAND":
        assert set(words) <= {"COMMAND", "--help", "--version"}
        return
    assert words[0] in COMMANDS, f"{page}: {command}"
    group = load_command(words.pop(0))
    while words and isinstance(group, typer.core.TyperGroup) and words[0] in group.commands:
        group = group.commands[words.pop(0)]
    options = {flag for parameter in group.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= options | {"--help", "-h"}, f"{page}: {command}"


def test_statements_of_the_text_page_are_understood() -> None:
    page = (ROOT / "docs" / "text.md").read_text()
    table = page.split("## Vocabulary")[1].split("\n\n")[1]
    examples = [example.strip() for row in table.splitlines()[2:] for example in row.split("|")[2].split(";")]
    assert {parse_statement(example).kind for example in examples} == set(KINDS)
