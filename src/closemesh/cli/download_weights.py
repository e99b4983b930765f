"""Download-weights.

What `closemesh download-weights` shows before it does anything.

`closemesh download-weights`: better detectors, masks and the licensed body, fetched and checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from closemesh.cli.console import exit_codes, results
from closemesh.core.files import format_bytes
from closemesh.weights.locate import first_existing
from closemesh.weights.manifest import Downloadable

if TYPE_CHECKING:
    from closemesh.weights.account import Account


def list_table(files: Iterable[Downloadable], folders: list[Path]) -> Table:
    """Every file: whether it is in one of `folders`, how large it is, its licence, what it improves."""
    table = Table(title="Downloads", title_style="title")
    for column in ("name", "group", "status", "size", "licence", "what it improves"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for file in files:
        licence = f"{file.licence}{', account' if file.account else ''}"
        size = _size(file, first_existing(file.file, folders))
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
    table.caption = f"{len(missing)} files, {format_bytes(known)}" + (
        f" and {unknown} of unknown size" if unknown else ""
    )
    return table


def plan_lines(files: Iterable[Downloadable], folders: list[Path], from_dir: Path | None) -> Iterator[str]:
    """From where to where, in whole lines: to copy, or to fetch by hand."""
    for file in _missing(files, folders):
        yield f"{file.name}: to {folders[0] / file.file}"
        for source in [str(from_dir / file.download_name)] if from_dir else file.sources:
            yield f"  from {source}"


def _missing(files: Iterable[Downloadable], folders: list[Path]) -> list[Downloadable]:
    return [file for file in files if not first_existing(file.file, folders)]


def _status(file: Downloadable, folders: list[Path]) -> str:
    if first_existing(file.file, folders):
        return "[good]there[/good]"
    part = (folders[0] / file.file).with_name(f"{file.download_name}.part")
    return "[doubtful]begun[/doubtful]" if part.is_file() else "[doubtful]missing[/doubtful]"


def _size(file: Downloadable, path: Path | None) -> str:
    if path:
        return format_bytes(path.stat().st_size)
    return format_bytes(file.size) if file.size is not None else "?"


def download_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|GROUP",
            help="Files by name, or detector, masks, wholebody, body, all. None: the same as --list.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the files.", show_default="~/.cache/closemesh/models")
    ] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option("--from-dir", help="Take the files from this folder, not from the internet.", file_okay=False),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-license",
            "--accept-licence",
            help="I accept the licenses of these files, AGPL-3.0 for example.",
        ),
    ] = False,
    list_files: Annotated[bool, typer.Option("--list", help="Show what there is and what is here.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be fetched, from where.")] = False,
) -> None:
    """Fetch better detectors, masks and the licensed body; nothing of it is needed to begin.

    HTTPS_PROXY and SSL_CERT_FILE are heeded. The account for the body is asked for,
    or comes from CLOSEMESH_BODY_USER and CLOSEMESH_BODY_PASSWORD.

    [dim]closemesh download-weights wholebody[/dim]
    [dim]closemesh download-weights body --accept-license[/dim]
    """
    with exit_codes(when_stopped="the same command goes on where it stopped"):
        from closemesh.weights.locate import model_folders, user_cache
        from closemesh.weights.manifest import EVERYTHING, read_manifest, select_downloads

        files = select_downloads(read_manifest(), names or [EVERYTHING])
        folder = to.expanduser() if to else user_cache()
        looked_in = [folder] if to else [folder, *model_folders()]
        if list_files or not names:
            results.print(list_table(files, looked_in))
            return
        if dry_run:
            results.print(plan_table(files, looked_in))
            for line in plan_lines(files, looked_in, from_dir):
                results.print(line, markup=False, soft_wrap=True)
            return
        _check_licences(files, accept_licence)
        _fetch(files, folder, from_dir, looked_in)


def _check_licences(files: tuple[Downloadable, ...], accepted: bool) -> None:
    from closemesh.core.errors import DownloadError

    asked = [f"{file.name} ({file.licence})" for file in files if file.accept_licence]
    if asked and not accepted:
        raise DownloadError(
            f"{', '.join(asked)} have licenses that you must accept: add --accept-license, or leave them out"
        )


def _fetch(files: tuple[Downloadable, ...], folder: Path, from_dir: Path | None, looked_in: list[Path]) -> None:
    from closemesh.cli.console import show_progress
    from closemesh.core.http import open_session
    from closemesh.weights.account import find_account
    from closemesh.weights.download import Source, download
    from closemesh.weights.locate import first_existing
    from closemesh.weights.transfer import Transfer

    portals = [file.account for file in files if file.account and not first_existing(file.file, looked_in)]
    # Asked before the first bar is drawn and before hours of other files.
    account = find_account(portals[0], lambda: _ask_for_account(portals[0])) if portals and not from_dir else None
    with show_progress(steps_are_bytes=True) as progress, open_session() as session:
        source = Source(Transfer(session, progress), account, from_dir)
        paths = download(files, folder, source, progress, looked_in)
    for path in paths:
        results.print(str(path), markup=False, soft_wrap=True)


def _ask_for_account(portal: str) -> Account | None:
    """None where nobody sits before a terminal."""
    import sys

    from closemesh.weights.account import Account

    if not sys.stdin.isatty():
        return None
    try:
        user = typer.prompt(f"User of {portal}", err=True)
        return Account(user, typer.prompt("Password (kept nowhere)", hide_input=True, err=True))
    except typer.Abort:
        raise KeyboardInterrupt from None
