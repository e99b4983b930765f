"""`closemesh benchmark identities`: how well people keep their numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results


def identities(
    quick: Annotated[bool, typer.Option("--quick", help="A few windows, always the same.")] = False,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many windows.")] = None,
    seed: o.SeedOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Film windows, follow their people, and count who is under a wrong number before and after identities are checked.

    Then exchanges of half a second to one and a half are put into the tracks, and it is counted how many are undone.
    """
    with exit_codes():
        from closemesh.cli.progress import show_progress
        from closemesh.evaluation.benchmark_windows import find_windows
        from closemesh.evaluation.identities import measure_identities
        from closemesh.files import replacing

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        with show_progress() as progress:
            figures = measure_identities(windows, seed or 0, progress)
        table = Table(title="Identities", title_style="title")
        columns = ("detections", "wrong as tracked", "wrong after", "exchanges put in", "undone")
        table.add_column("window")
        for column in columns:
            table.add_column(column, justify="right")
        rows = [(f.told, f.wrong_before, f.wrong_after, f.injected, f.repaired) for f in figures]
        for one, row in zip(figures, rows, strict=True):
            table.add_row(one.name, *(str(value) for value in row))
        table.add_row("all", *(str(sum(column)) for column in zip(*rows, strict=True)), style="bold")
        results.print(table)
        if file:
            with replacing(file) as part:
                part.write_text(json.dumps([asdict(one) for one in figures], indent=1))
