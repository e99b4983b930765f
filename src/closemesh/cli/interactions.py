"""`closemesh interactions`: make people touch, to learn from and to measure on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.cli.train_networks import DataOption


def interactions(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the windows; goes on where it stopped.")] = Path(
        "interactions"
    ),
    count: Annotated[int, typer.Option(min=1, help="Windows in all.")] = 2000,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these kinds.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine, same bytes.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Begin from the motion that is held out for measuring.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
    device: o.DeviceOption = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a window of each kind into this PNG.")] = None,
) -> None:
    """Generate windows of two people who hug, shake hands, carry, kick, ...: motion with known contact.

    And of people apart, and of single people who sit, kneel, lie, crouch, crawl or reach.

    [dim]closemesh interactions --data mocap -o interactions --count 2000 --sheet sheet.png[/dim]
    """
    with exit_codes(when_stopped="give the same command again to go on"):
        from closemesh.cli.progress import show_progress
        from closemesh.interactions.make import InteractionsConfig, make_interactions

        chosen = tuple(kinds.split(",")) if kinds else None
        config = InteractionsConfig(
            count, chosen, seed, split="held_out" if held_out else "train", jobs=jobs, device=device or "cpu"
        )
        with show_progress() as progress:
            reports = make_interactions(data, out, config, progress)
        table = Table(title="Interactions", title_style="title")
        for column in ("kind", "key poses", "windows", "good", "mean gap, mm", "worst, mm", "deepest, mm", "lost to"):
            table.add_column(column, justify="left" if column in ("kind", "lost to") else "right")
        for r in reports:
            counts = f"{r.key_poses}/{r.attempts}", f"{r.accepted}/{r.tried}", f"{r.rate:.0%}"
            lengths = (1000 * length for length in (r.mean_contact_error, r.worst_contact_error, r.deepest))
            lost = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in r.faults.items())
            table.add_row(r.kind, *counts, *(f"{length:.1f}" for length in lengths), lost)
        results.print(table)
        if sheet:
            from closemesh.interactions.sheet import draw_sheet

            draw_sheet(out, sheet)
            results.print(str(sheet), markup=False, soft_wrap=True)
