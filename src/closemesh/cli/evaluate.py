"""`closemesh evaluate PRED TRUTH`: the errors of one motion against another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

_INPUT = "A result folder, a person file or a folder of them, or a motion file."


def evaluate(
    predicted: Annotated[Path, typer.Argument(metavar="PRED", help=_INPUT, show_default=False)],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="The same, with the true motion.", show_default=False)],
    align: Annotated[
        bool, typer.Option("--align", help="First align PRED rigidly with TRUTH, when their world frames differ.")
    ] = False,
    no_meshes: Annotated[bool, typer.Option("--no-meshes", help="Only metrics of joints; faster.")] = False,
    body_model: o.BodyModelOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Compute the errors of a motion of people in contact against the true one.

    [dim]closemesh evaluate out truth/[/dim]
    [dim]closemesh evaluate out pair.npz --align --json metrics.json[/dim]
    """
    with exit_codes():
        o.check_new_file(file, overwrite, predicted, truth, body_model)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.evaluate import evaluate as evaluate_motion
        from closemesh.lab.evaluation.evaluate import read_sequence
        from closemesh.lab.evaluation.joint_metrics import METRIC

        with show_progress() as progress:
            first, second = (read_sequence(path, body_model, progress) for path in (predicted, truth))
            metrics = evaluate_motion(first, second, progress, align=align, cheap=no_meshes)
        table = Table(title="Evaluation", title_style="title")
        for column, justify in (("metric", "left"), ("mean", "right"), ("unit", "left"), ("better", "left")):
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        for name, value in metrics.items():
            table.add_row(name, f"{value:.2f}", METRIC[name].unit, METRIC[name].better)
        o.write_report(file, metrics)
        results.print(table)
