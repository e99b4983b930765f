"""What `closemesh download-weights` shows before it does anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from closemesh.weights.manifest import Downloadable
from closemesh.weights.search import first_with
from closemesh.weights.space import megabytes


def list_table(files: Iterable[Downloadable], folders: list[Path]) -> Table:
    """Every file: whether it is in one of `folders`, how large it is, its licence, what it improves."""
    table = Table(title="Downloads", title_style="title")
    for column in ("name", "group", "status", "size", "licence", "what it improves"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for file in files:
        licence = f"{file.licence}{', account' if file.account else ''}"
        size = _size(file, first_with(file.file, folders))
        table.add_row(file.name, ", ".join(file.groups), _status(file, folders), size, licence, escape(file.purpose))
    return table


def plan_table(files: Iterable[Downloadable], folders: list[Path]) -> Table:
    """What would be fetched."""
    table = Table(title="Would be fetched", title_style="title")
    for column in ("name", "status", "size", "licence"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    missing = _missing(files, folders)
    for file in missing:
        table.add_row(file.name, _status(file, folders), _size(file, None), file.licence)
    known = sum(file.size or 0 for file in missing)
    unknown = sum(file.size is None for file in missing)
    table.caption = f"{len(missing)} files, {megabytes(known)}" + (f" and {unknown} of unknown size" if unknown else "")
    return table


def plan_lines(files: Iterable[Downloadable], folders: list[Path], from_dir: Path | None) -> Iterator[str]:
    """From where to where, in whole lines: to copy, or to fetch by hand."""
    for file in _missing(files, folders):
        yield f"{file.name}: to {folders[0] / file.file}"
        for source in [str(from_dir / file.fetched)] if from_dir else file.sources:
            yield f"  from {source}"


def _missing(files: Iterable[Downloadable], folders: list[Path]) -> list[Downloadable]:
    return [file for file in files if not first_with(file.file, folders)]


def _status(file: Downloadable, folders: list[Path]) -> str:
    if first_with(file.file, folders):
        return "[good]there[/good]"
    part = (folders[0] / file.file).with_name(f"{file.fetched}.part")
    return "[doubtful]begun[/doubtful]" if part.is_file() else "[doubtful]missing[/doubtful]"


def _size(file: Downloadable, path: Path | None) -> str:
    if path:
        return megabytes(path.stat().st_size)
    return megabytes(file.size) if file.size is not None else "?"
