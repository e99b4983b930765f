"""`closemesh download-weights`: better detectors, masks and the licensed body, fetched and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.weights.account import Account
    from closemesh.weights.manifest import Downloadable


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
        bool, typer.Option("--accept-licence", help="I accept the licences of these files, AGPL-3.0 for example.")
    ] = False,
    list_files: Annotated[bool, typer.Option("--list", help="Show what there is and what is here.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be fetched, from where.")] = False,
) -> None:
    """Fetch better detectors, masks and the licensed body; nothing of it is needed to begin.

    HTTPS_PROXY and SSL_CERT_FILE are heeded. The account for the body is asked for,
    or comes from CLOSEMESH_BODY_USER and CLOSEMESH_BODY_PASSWORD.

    [dim]closemesh download-weights wholebody[/dim]
    [dim]closemesh download-weights body --accept-licence[/dim]
    """
    with exit_codes(when_stopped="the same command goes on where it stopped"):
        from closemesh.cli.download_tables import list_table, plan_lines, plan_table
        from closemesh.weights.manifest import EVERYTHING, choose, read_manifest
        from closemesh.weights.search import model_folders, user_cache

        files = choose(read_manifest(), names or [EVERYTHING])
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
    from closemesh.errors import DownloadError

    asked = [f"{file.name} ({file.licence})" for file in files if file.accept_licence]
    if asked and not accepted:
        raise DownloadError(
            f"{', '.join(asked)} stand under licences that you have to accept: add --accept-licence, or leave them out"
        )


def _fetch(files: tuple[Downloadable, ...], folder: Path, from_dir: Path | None, looked_in: list[Path]) -> None:
    from closemesh.cli.progress import show_progress
    from closemesh.weights.account import find_account
    from closemesh.weights.connection import open_session
    from closemesh.weights.download import Source, download
    from closemesh.weights.search import first_with
    from closemesh.weights.transfer import Transfer

    portals = [file.account for file in files if file.account and not first_with(file.file, looked_in)]
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
