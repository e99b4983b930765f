"""The command `download-weights`: better detectors, masks and the SMPL-X body, downloaded and verified."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from closemesh.cli.console import HOW_TO_RESUME, exit_codes, results
from closemesh.core.files import format_bytes
from closemesh.weights.locate import first_existing
from closemesh.weights.manifest import Downloadable

if TYPE_CHECKING:
    from closemesh.weights.account import Account


def list_table(files: Iterable[Downloadable], folders: list[Path]) -> Table:
    """Return a table of all files: name, group, whether it is in one of `folders`, size, license and purpose."""
    table = Table(title="Downloads", title_style="title")
    for column in ("name", "group", "status", "size", "license", "purpose"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for file in files:
        terms = f"{file.licence}{', account' if file.account else ''}"
        size = _size(file, first_existing(file.file, folders))
        table.add_row(
            file.name, ", ".join(file.groups), _status(file, folders), size, escape(terms), escape(file.purpose)
        )
    return table


def plan_table(files: Iterable[Downloadable], folders: list[Path]) -> Table:
    """Return a table of the files that would be downloaded."""
    table = Table(title="To be downloaded", title_style="title")
    for column in ("name", "status", "size", "license"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    missing = _missing(files, folders)
    for file in missing:
        table.add_row(file.name, _status(file, folders), _size(file, None), escape(file.licence))
    known = sum(file.size or 0 for file in missing)
    unknown = sum(file.size is None for file in missing)
    table.caption = f"{len(missing)} files, {format_bytes(known)}" + (
        f" and {unknown} of unknown size" if unknown else ""
    )
    return table


def plan_lines(files: Iterable[Downloadable], folders: list[Path], from_dir: Path | None) -> Iterator[str]:
    """Yield the target and the sources of each file, each in one line to copy from."""
    for file in _missing(files, folders):
        yield f"{file.name}: to {folders[0] / file.file}"
        for source in [str(from_dir / file.download_name)] if from_dir else file.sources:
            yield f"  from {source}"


def _missing(files: Iterable[Downloadable], folders: list[Path]) -> list[Downloadable]:
    return [file for file in files if not first_existing(file.file, folders)]


def _status(file: Downloadable, folders: list[Path]) -> str:
    if first_existing(file.file, folders):
        return "[good]installed[/good]"
    part = (folders[0] / file.file).with_name(f"{file.download_name}.part")
    return "[doubtful]partial[/doubtful]" if part.is_file() else "[doubtful]missing[/doubtful]"


def _size(file: Downloadable, path: Path | None) -> str:
    if path:
        return format_bytes(path.stat().st_size)
    return format_bytes(file.size) if file.size is not None else "?"


def download_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|GROUP",
            help="Names of files, or detector, masks, wholebody, body, all. Without a name: the same as --list.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the files.", show_default="~/.cache/closemesh/models")
    ] = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            "--from-dir", help="Copy the files from this folder instead of downloading them.", file_okay=False
        ),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option(
            "--accept-license",
            "--accept-licence",
            help="I accept the licenses of these files, AGPL-3.0 for example.",
        ),
    ] = False,
    list_files: Annotated[bool, typer.Option("--list", help="List all files and which of them are installed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be downloaded, and from where.")] = False,
) -> None:
    """Download better detectors, masks and the SMPL-X body. closemesh works without them.

    HTTPS_PROXY and SSL_CERT_FILE are used. The account for the body comes from CLOSEMESH_BODY_USER
    and CLOSEMESH_BODY_PASSWORD, or from a prompt.

    [dim]closemesh download-weights wholebody[/dim]
    [dim]closemesh download-weights body --accept-license[/dim]
    """
    with exit_codes(when_stopped=HOW_TO_RESUME):
        from closemesh.weights.locate import model_folders, user_cache
        from closemesh.weights.manifest import EVERYTHING, read_manifest, select_downloads

        files = select_downloads(read_manifest(), names or [EVERYTHING])
        folder = Path(os.path.expanduser(to)) if to else user_cache()
        searched = [folder] if to else [folder, *model_folders()]
        if list_files or not names:
            results.print(list_table(files, searched))
            return
        if dry_run:
            results.print(plan_table(files, searched))
            for line in plan_lines(files, searched, from_dir):
                results.print(line, markup=False, soft_wrap=True)
            return
        _check_licenses(files, accept_licence)
        _fetch(files, folder, from_dir, searched)


def _check_licenses(files: tuple[Downloadable, ...], accepted: bool) -> None:
    from closemesh.core.errors import DownloadError

    asked = [f"{file.name} ({file.licence})" for file in files if file.accept_licence]
    if asked and not accepted:
        raise DownloadError(
            f"{', '.join(asked)} have licenses that you must accept: add --accept-license, or leave them out"
        )


def _fetch(files: tuple[Downloadable, ...], folder: Path, from_dir: Path | None, searched: list[Path]) -> None:
    from closemesh.cli.console import show_progress
    from closemesh.core.http import open_session
    from closemesh.weights.account import find_account
    from closemesh.weights.download import Source, download
    from closemesh.weights.locate import first_existing
    from closemesh.weights.transfer import Transfer

    portals = [file.account for file in files if file.account and not first_existing(file.file, searched)]
    # The prompt comes before the progress bars and before long downloads.
    account = find_account(portals[0], lambda: _prompt_for_account(portals[0])) if portals and not from_dir else None
    with show_progress(steps_are_bytes=True) as progress, open_session() as session:
        source = Source(Transfer(session, progress), account, from_dir)
        paths = download(files, folder, source, progress, searched)
    for path in paths:
        results.print(str(path), markup=False, soft_wrap=True)


def _prompt_for_account(portal: str) -> Account | None:
    """Prompt for user name and password; None without a terminal."""
    import sys

    from closemesh.weights.account import Account

    if not sys.stdin.isatty():
        return None
    try:
        user = typer.prompt(f"User of {portal}", err=True)
        return Account(user, typer.prompt("Password (not stored)", hide_input=True, err=True))
    except typer.Abort:
        raise KeyboardInterrupt from None
