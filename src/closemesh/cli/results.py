"""Commands on a finished result: `render` images, `describe` it in sentences, `export` it to another body."""

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
Format = Literal["mp4", "png"]
Stage = Literal["initial", "refined", "optimised"]


def render(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    view: Annotated[View, typer.Option(help="Over the frames of the clip, from the side, or from above.")] = "overlay",
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
    clip: Annotated[Path | None, typer.Option(help="The clip, if it was moved; only the overlay needs it.")] = None,
) -> None:
    """Render a result from another view or from an earlier stage.

    [dim]closemesh render out --view side[/dim]
    [dim]closemesh render out --stage initial -o before.mp4[/dim]
    """
    with exit_codes():
        target = _render(result, view, output, stage, file, clip)
        results.print(str(target), markup=False, soft_wrap=True)


def _render(
    result: Path, view: View, output: Format | None, stage: Stage, file: Path | None, clip_file: Path | None
) -> Path:
    """Write the images and return where they are."""
    from closemesh.body.loading import load_body
    from closemesh.cli.console import show_progress
    from closemesh.pipeline.cache import load_saved_motion
    from closemesh.rendering.bodies import render_view
    from closemesh.video import read_frames
    from closemesh.video.video_files import write_image, write_images, write_video

    saved = load_saved_motion(result, stage)
    name = view if stage == "optimised" else f"{view}_{stage}"
    single = len(saved.clip) == 1 and (file.suffix.lower() == ".png" if file else output != "mp4")
    output = output or ("png" if single else "mp4")
    target = file or result / (f"{name}.{output}" if single or output == "mp4" else name)
    frames = read_frames(_existing_clip(saved.clip, clip_file)) if view == "overlay" else None
    body = load_body(saved.body_path)
    images = render_view(view, saved.clip, saved.camera, saved.motion, body, frames)
    with show_progress() as progress, progress.task(f"render {view}", len(saved.clip)) as advance:
        if single:
            (image,) = _counted(images, advance)
            write_image(image, target)
        elif output == "mp4":
            write_video(_counted(images, advance), target, saved.clip.times)
        else:
            write_images(_counted(images, advance), target)
    return target


def _existing_clip(clip: Clip, moved_to: Path | None) -> Clip:
    """The clip at its present path. Raises InputError when no file is there."""
    from closemesh.core.errors import InputError

    present = replace(clip, path=moved_to or clip.path)
    if not present.path.exists():
        raise InputError(f"{present.path}: the clip is no longer there; give its new path with --clip FILE")
    return present


def _counted(images: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for image in images:
        yield image
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
        from closemesh.text.descriptions import DESCRIPTIONS_FILE, group_statements, write_descriptions
        from closemesh.text.grammar import render_timed

        target = file or result / DESCRIPTIONS_FILE
        if target.exists():
            raise InputError(f"{target} exists and may hold your own words; give another file with -o")
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
        Path, typer.Option(help="The target body: SMPLX_NEUTRAL.npz, or another .npz or .pkl of the SMPL-X layout.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write.", show_default="OUT/exported/NAME")
    ] = None,
    device: o.DeviceOption = None,
) -> None:
    """Transfer a finished result to another body of the SMPL-X layout; contact is preserved.

    [dim]closemesh export out --body-model SMPLX_NEUTRAL.npz -o out_smplx[/dim]
    """
    with exit_codes():
        target = folder or result / "exported" / body_model.stem
        errors = _export(result, body_model, target, device)
        results.print(_table(errors))
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

    saved = load_saved_motion(result, "optimised")
    check_output_folder(result, folder)
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
