"""Commands on a finished result: `render` images, `describe` it in sentences, `export` it to other programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

View = Literal["overlay", "side", "top", "turntable", "compare", "avatars", "depth"]
Viewpoint = Literal["overlay", "side", "top", "turntable"]
Coloring = Literal["people", "contact", "depth"]
Format = Literal["mp4", "png"]
UpAxis = Literal["y", "z"]
Stage = Literal["initial", "refined", "optimised"]

_VIEW_HELP = (
    "Over the clip; from the side, from above, or around the people; all stages beside the input; avatars; depth."
)


def render(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    view: Annotated[View, typer.Option(help=_VIEW_HELP)] = "overlay",
    color: Annotated[
        Coloring, typer.Option(help="One color per person, distance to the others, or depth in the clip.")
    ] = "people",
    people: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Only these people; 0 is person_00.", show_default="all")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WIDTH[xHEIGHT]", help="Pixels; an overlay fits into it.", show_default="as the clip"),
    ] = None,
    viewpoint: Annotated[
        Viewpoint, typer.Option("--from", help="From where avatars are seen; overlay: the camera of the clip.")
    ] = "overlay",
    seconds: Annotated[
        float | None, typer.Option(help="Time of one turn of the turntable.", show_default="the clip's")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="A shadow on the floor of the overlay too.")] = False,
    output: Annotated[
        Format | None,
        typer.Option("--format", help="A video, or a folder of images.", show_default="mp4; an image of a photo"),
    ] = None,
    stage: Annotated[
        Stage, typer.Option(help="First motion, motion refined by the interaction prior, or final motion.")
    ] = "optimised",
    file: Annotated[
        Path | None, typer.Option("--file", "-o", help="Where to write.", show_default="OUT/VIEW.mp4 or .png")
    ] = None,
    clip: Annotated[Path | None, typer.Option(help="The clip, if it was moved; for views that show it.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Render a result: over the clip, from another view, beside earlier stages, colored by contact or depth.

    [dim]closemesh render out --view side --color contact[/dim]
    [dim]closemesh render out --view compare -o stages.mp4[/dim]
    """
    with exit_codes():
        from closemesh.cli.console import show_progress
        from closemesh.results.render import RenderOptions, render_result

        options = RenderOptions(
            people=_parse_people(people),
            size=_parse_size(size),
            shadow=shadow,
            turn_seconds=seconds,
            stage=stage,
            color=color,
            viewpoint=viewpoint,
            clip=clip,
            format=output,
            overwrite=overwrite,
        )
        with show_progress() as progress:
            target = render_result(result, view, options, file, progress)
        results.print(str(target), markup=False, soft_wrap=True)


def _parse_people(text: str | None) -> tuple[int, ...] | None:
    """The numbers of --people. Raises InputError."""
    from closemesh.core.errors import InputError

    if text is not None and not re.fullmatch(r"\d{1,4}(,\d{1,4})*", text):
        raise InputError(f"--people {text}: give numbers from 0, such as 0,2")
    return None if text is None else tuple(sorted({int(one) for one in text.split(",")}))


def _parse_size(text: str | None) -> tuple[int, int | None] | None:
    """The width and height of --size. Raises InputError."""
    from closemesh.core.errors import InputError

    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text or "0")
    if match is None:
        raise InputError(f"--size {text}: give a width in pixels, or both as 1280x720")
    return None if text is None else (int(match[1]), int(match[2]) if match[2] else None)


def describe(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    file: Annotated[
        Path | None, typer.Option("--file", "-o", help="Where to write.", show_default="OUT/descriptions.json")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the sentences too.")] = False,
) -> None:
    """Write what people do in a result as sentences with times and confidences.

    [dim]closemesh describe out -o mine.json[/dim]  then edit it, and
    [dim]closemesh reconstruct dance.mp4 -o out --descriptions mine.json[/dim]
    """
    with exit_codes():
        from closemesh.body.loading import load_body
        from closemesh.core.output_folder import require_new_file
        from closemesh.pipeline.cache import load_saved_motion
        from closemesh.text.captioner import caption_motion
        from closemesh.text.descriptions import DESCRIPTIONS_FILE, group_statements, write_descriptions
        from closemesh.text.grammar import render_timed

        target = file or result / DESCRIPTIONS_FILE
        require_new_file(target, advice="it may hold your own words; give another file with -o")
        saved = load_saved_motion(result, "optimised")
        up_cam = saved.camera.up
        statements = caption_motion(saved.motion, load_body(saved.body_path), saved.clip.times, up_cam)
        write_descriptions(target, group_statements(statements, "rules"))
        if show:
            for statement in statements:
                results.print(f"{render_timed(statement)}.", markup=False, soft_wrap=True)
        results.print(f"{len(statements)} statements in {target}", markup=False, soft_wrap=True)


_VERSIONS = ("copied", "fitted")


def export(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    body_model: Annotated[
        Path | None,
        typer.Option(help="The target body: SMPLX_NEUTRAL.npz, or another .npz or .pkl of the SMPL-X layout."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT,...", help="bvh, glb, usd, smplx, c3d, trc, csv, ply, obj, camera.", show_default=False
        ),
    ] = None,
    up: Annotated[UpAxis, typer.Option(help="Vertical axis of the files of --to.")] = "y",
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write.", show_default="OUT/exported/NAME")
    ] = None,
    device: o.DeviceOption = None,
) -> None:
    """Write a finished result for other programs, or transfer it to another body.

    [dim]closemesh export out --to bvh,glb[/dim]
    [dim]closemesh export out --body-model SMPLX_NEUTRAL.npz -o out_smplx[/dim]
    """
    with exit_codes():
        from closemesh.core.errors import InputError

        if (body_model is None) == (to is None):
            raise InputError("give either --to FORMAT for other programs, or --body-model FILE for another body")
        if up != "y" and to is None:
            raise InputError("--up turns the files of --to; a transfer to another body keeps the frames of the result")
        if to is not None:
            _export_formats(result, to.split(","), folder, up)
        elif body_model is not None:
            target = folder or result / "exported" / body_model.stem
            errors = _export(result, body_model, target, device)
            results.print(_table(errors))
            results.print(f"results in {target}", markup=False, soft_wrap=True)


def _export_formats(result: Path, formats: list[str], folder: Path | None, up: UpAxis) -> None:
    from closemesh.cli.console import show_progress
    from closemesh.interchange.export import ExportOptions, export_result

    with show_progress() as progress:
        written = export_result(result, [name.strip() for name in formats], folder, ExportOptions(up), progress)
    for path in written:
        results.print(str(path), markup=False, soft_wrap=True)


def _export(result: Path, body_path: Path, folder: Path, device: str | None) -> dict[str, Any]:
    from closemesh.body.loading import load_body
    from closemesh.body_transfer.report import (
        TransferredResult,
        check_output_folder,
        check_source_body,
        contact_changes,
        measure_versions,
        transfer_errors,
        write_transfer,
    )
    from closemesh.body_transfer.transfer import transfer_motion
    from closemesh.cli.console import show_progress
    from closemesh.core.device import choose_device
    from closemesh.core.errors import InputError
    from closemesh.pipeline.cache import load_saved_motion

    saved = load_saved_motion(result, "optimised")
    check_output_folder(result, folder, body_path)
    source, target = load_body(saved.body_path), load_body(body_path)
    check_source_body(result, source)
    if target.sha256 == source.sha256:
        raise InputError(f"{result} is on the body {target.name} already; give another with --body-model")
    with show_progress() as progress:
        made = transfer_motion(saved.motion, source, target, saved.clip.times, choose_device(device), progress)
        versions = {"copied": made.copied, "fitted": made.fitted}
        contacts = measure_versions(saved.motion, source, versions, target, progress)
        errors = transfer_errors(saved.motion, source, versions, target)
        errors["contacts"] = contact_changes(contacts)
        converted = TransferredResult(saved.clip, saved.camera, made.fitted, contacts, errors, body_path)
        write_transfer(result, folder, converted, source, target, progress)
    return errors


def _table(errors: Mapping[str, Any]) -> Table:
    """Distances to the source body, mean (largest), and contact before and after. errors: of conversion.json."""
    table = Table(title="Distance from the source body", title_style="title", title_justify="left")
    for column in ("", "source body", *_VERSIONS):
        table.add_column(column, justify="left" if not column else "right")
    for key, name in (("joints_mm", "joints"), ("keypoints_mm", "keypoints"), ("surface_mm", "surface")):
        to = f", to {errors['surface_measured_to']}" if key == "surface_mm" else ""
        table.add_row(name + to, "", *(_mean_and_largest(errors[key][version]) for version in _VERSIONS))
    for pair in errors["contacts"]:
        people = "people {} and {}".format(*pair["people"])
        for key, name, form in (
            ("frames_touching", "frames in contact", "{}"),
            ("gap_mm", "mean distance in these", "{:.1f} mm"),
            ("depth_mm", "deepest penetration", "{:.1f} mm"),
        ):
            cells = (pair[version] for version in ("source", *_VERSIONS))
            table.add_row(f"{people}: {name}", *(form.format(cell[key]) if cell else "no contact" for cell in cells))
    return table


def _mean_and_largest(error: Mapping[str, float]) -> str:
    return f"{error['mean']:.1f} ({error['largest']:.1f}) mm" if error else ""
