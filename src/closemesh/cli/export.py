"""`closemesh export OUT --body-model FILE`: a finished result on another body."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

_VERSIONS = ("copied", "fitted")


def export(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    body_model: Annotated[
        Path, typer.Option(help="The body to put it on: SMPLX_NEUTRAL.npz, or another SMPL-X layout .npz or .pkl.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write.", show_default="OUT/exported/NAME")
    ] = None,
    device: o.DeviceOption = None,
) -> None:
    """Put a finished result on another body of the SMPL-X layout, with the contact kept.

    [dim]closemesh export out --body-model SMPLX_NEUTRAL.npz -o out_smplx[/dim]
    """
    with exit_codes():
        target = folder or result / "exported" / body_model.stem
        figures = _export(result, body_model, target, device)
        results.print(_table(figures))
        results.print(f"results in {target}", markup=False, soft_wrap=True)


def _export(result: Path, body_path: Path, folder: Path, device: str | None) -> dict[str, Any]:
    from closemesh.body.load import load_body
    from closemesh.cli.progress import show_progress
    from closemesh.device import choose_device
    from closemesh.errors import InputError
    from closemesh.export.convert import convert
    from closemesh.export.figures import contact_figures, conversion_figures, pair_contacts
    from closemesh.export.write import Converted, check_body, check_place, write_converted
    from closemesh.kept import read_kept

    kept = read_kept(result, "optimised")
    check_place(result, folder)
    source, target = load_body(kept.body_path), load_body(body_path)
    check_body(result, source)
    if target.sha256 == source.sha256:
        raise InputError(f"{result} is on the body {target.name} already; give another with --body-model")
    with show_progress() as progress:
        made = convert(kept.motion, source, target, kept.clip.times, choose_device(device), progress)
        versions = {"copied": made.copied, "fitted": made.fitted}
        contacts = pair_contacts(kept.motion, source, versions, target, progress)
        figures = conversion_figures(kept.motion, source, versions, target)
        figures["contacts"] = contact_figures(contacts)
        converted = Converted(kept.clip, kept.camera, made.fitted, contacts, figures, body_path)
        write_converted(result, folder, converted, source, target, progress)
    return figures


def _table(figures: Mapping[str, Any]) -> Table:
    """What is left between the bodies, mean (largest), and what became of contact."""
    table = Table(title="Distance from the old body", title_style="title", title_justify="left")
    for column in ("", "old body", *_VERSIONS):
        table.add_column(column, justify="left" if not column else "right")
    for name, told in (("joints_mm", "joints"), ("keypoints_mm", "keypoints"), ("surface_mm", "skin")):
        to = f", to {figures['surface_measured_to']}" if name == "surface_mm" else ""
        table.add_row(told + to, "", *(_spread(figures[name][version]) for version in _VERSIONS))
    for pair in figures["contacts"]:
        who = "people {} and {}".format(*pair["people"])
        for figure, told, form in (
            ("frames_touching", "frames that touch", "{}"),
            ("gap_mm", "mean gap in these", "{:.1f} mm"),
            ("depth_mm", "deepest crossing", "{:.1f} mm"),
        ):
            cells = (pair[version] for version in ("source", *_VERSIONS))
            table.add_row(f"{who}: {told}", *(form.format(cell[figure]) if cell else "apart" for cell in cells))
    return table


def _spread(figure: Mapping[str, float]) -> str:
    return f"{figure['mean']:.1f} ({figure['largest']:.1f}) mm" if figure else ""
