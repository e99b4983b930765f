"""`closemesh benchmark language`: how well texts find the poses that they are about."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results


def language(
    readers: Annotated[
        Path | None,
        typer.Option(help="Folder of readers that `closemesh train language` made.", show_default="the bundled ones"),
    ] = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Look for each of 1,000 poses of the bundled windows by what is said of it: plainly, in many wordings, by hand."""
    with exit_codes():
        from closemesh.device import choose_device
        from closemesh.evaluation.retrieval import measure_retrieval
        from closemesh.files import replacing
        from closemesh.language.alignment import load_alignment

        found = measure_retrieval(load_alignment(choose_device(device), readers), seed or 0)
        table = Table(title="Poses found by texts", title_style="title")
        for column in ("texts", "how many", "among poses", "first, %", "first ten, %"):
            table.add_column(column, justify="left" if column == "texts" else "right")
        for name, one in found.items():
            table.add_row(name, str(one.texts), str(one.poses), f"{100 * one.first:.1f}", f"{100 * one.ten:.1f}")
        results.print(table)
        if file:
            with replacing(file) as part:
                part.write_text(json.dumps({name: asdict(one) for name, one in found.items()}, indent=1))
