"""Render, describe, export.

`closemesh render OUT`: pictures and films of a result, without OpenGL.

`closemesh describe OUT`: a result in words, to be read, edited and passed back.

`closemesh export OUT --body-model FILE`: a finished result on another body.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.core.progress import Advance
    from closemesh.structures import Clip
    from closemesh.video.video_files import Image


View = Literal["overlay", "side", "top"]
Picture = Literal["mp4", "png"]
Stage = Literal["initial", "refined", "optimised"]


def render(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    view: Annotated[View, typer.Option(help="Over the clip, from the side, or from above.")] = "overlay",
    picture: Annotated[Picture, typer.Option("--format", help="A film, or a folder of pictures.")] = "mp4",
    stage: Annotated[
        Stage, typer.Option(help="First poses, those that the prior refined, or the result.")
    ] = "optimised",
    file: Annotated[
        Path | None, typer.Option("--file", "-o", help="Where to write.", show_default="OUT/VIEW.mp4")
    ] = None,
    clip: Annotated[
        Path | None, typer.Option(help="The clip, when it has been moved; only the overlay needs it.")
    ] = None,
) -> None:
    """Draw a result from another side or from an earlier stage.

    [dim]closemesh render out --view side[/dim]
    [dim]closemesh render out --stage initial -o before.mp4[/dim]
    """
    with exit_codes():
        name = view if stage == "optimised" else f"{view}_{stage}"
        target = file or result / (f"{name}.mp4" if picture == "mp4" else name)
        _render(result, view, picture, stage, target, clip)
        results.print(str(target), markup=False, soft_wrap=True)


def _render(result: Path, view: View, picture: Picture, stage: Stage, target: Path, clip_file: Path | None) -> None:
    from closemesh.body.loading import load_body
    from closemesh.cli.console import show_progress
    from closemesh.pipeline.cache import load_saved_motion
    from closemesh.rendering.bodies import render_view
    from closemesh.video import read_frames
    from closemesh.video.video_files import write_images, write_video

    kept = load_saved_motion(result, stage)
    frames = read_frames(_found_clip(kept.clip, clip_file)) if view == "overlay" else None
    body = load_body(kept.body_path)
    pictures = render_view(view, kept.clip, kept.camera, kept.motion, body, frames)
    with show_progress() as progress, progress.task(f"render {view}", len(kept.clip)) as advance:
        if picture == "mp4":
            write_video(_counted(pictures, advance), target, kept.clip.times)
        else:
            write_images(_counted(pictures, advance), target)


def _found_clip(clip: Clip, moved_to: Path | None) -> Clip:
    """The clip where it is now. Raises InputError when it is not there."""
    from closemesh.core.errors import InputError

    here = replace(clip, path=moved_to or clip.path)
    if not here.path.exists():
        raise InputError(f"{here.path}: the clip is no longer there; name its new place with --clip FILE")
    return here


def _counted(pictures: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for picture in pictures:
        yield picture
        advance(1)


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
        from closemesh.core.errors import InputError
        from closemesh.pipeline.cache import load_saved_motion
        from closemesh.text.captioner import caption_motion
        from closemesh.text.descriptions import DESCRIPTIONS_FILE, grouped, write_descriptions
        from closemesh.text.grammar import render_timed

        target = file or result / DESCRIPTIONS_FILE
        if target.exists():
            raise InputError(f"{target} is there already and may hold your own words; name another file with -o")
        kept = load_saved_motion(result, "optimised")
        up_cam = kept.camera.up
        told = caption_motion(kept.motion, load_body(kept.body_path), kept.clip.times, up_cam)
        write_descriptions(target, grouped(told, "rules"))
        if show:
            for one in told:
                results.print(f"{render_timed(one)}.", markup=False, soft_wrap=True)
        results.print(f"{len(told)} statements in {target}", markup=False, soft_wrap=True)


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

    kept = load_saved_motion(result, "optimised")
    check_output_folder(result, folder)
    source, target = load_body(kept.body_path), load_body(body_path)
    check_source_body(result, source)
    if target.sha256 == source.sha256:
        raise InputError(f"{result} is on the body {target.name} already; give another with --body-model")
    with show_progress() as progress:
        made = transfer_motion(kept.motion, source, target, kept.clip.times, choose_device(device), progress)
        versions = {"copied": made.copied, "fitted": made.fitted}
        contacts = measure_versions(kept.motion, source, versions, target, progress)
        figures = transfer_errors(kept.motion, source, versions, target)
        figures["contacts"] = contact_changes(contacts)
        converted = TransferredResult(kept.clip, kept.camera, made.fitted, contacts, figures, body_path)
        write_transfer(result, folder, converted, source, target, progress)
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
