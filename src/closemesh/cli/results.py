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
    overwrite: o.OverwriteOption = False,
) -> None:
    """Render a result from another view or from an earlier stage.

    [dim]closemesh render out --view side[/dim]
    [dim]closemesh render out --stage initial -o before.mp4[/dim]
    """
    with exit_codes():
        target = _render(result, view, output, stage, file, clip, overwrite)
        results.print(str(target), markup=False, soft_wrap=True)


def _render(
    result: Path,
    view: View,
    output: Format | None,
    stage: Stage,
    file: Path | None,
    clip_file: Path | None,
    overwrite: bool,
) -> Path:
    """Write the images and return where they are."""
    from closemesh.body.loading import load_body
    from closemesh.cli.console import show_progress
    from closemesh.pipeline.cache import load_saved_motion
    from closemesh.rendering.bodies import render_view
    from closemesh.video import read_frames

    saved = load_saved_motion(result, stage)
    name = view if stage == "optimised" else f"{view}_{stage}"
    single = len(saved.clip) == 1 and (file.suffix.lower() == ".png" if file else output != "mp4")
    output = output or ("png" if single else "mp4")
    target = file or result / (f"{name}.{output}" if single or output == "mp4" else name)
    in_folder = output == "png" and not single
    _check_target(target, in_folder, overwrite, result, clip_file or saved.clip.path)
    frames = read_frames(_existing_clip(saved.clip, clip_file)) if view == "overlay" else None
    body = load_body(saved.body_path)
    images = render_view(view, saved.clip, saved.camera, saved.motion, body, frames)
    with show_progress() as progress, progress.task(f"render {view}", len(saved.clip)) as advance:
        _write_images(_counted(images, advance), target, in_folder, single, saved.clip)
    return target


def _check_target(target: Path, in_folder: bool, overwrite: bool, result: Path, clip: Path) -> None:
    """Raises OutputError when images at `target` would replace foreign files or what is read."""
    from closemesh.core.errors import OutputError
    from closemesh.core.output_folder import OutputFolder, require_new_file, require_separate

    if not in_folder:
        require_new_file(target, overwrite, [clip])
        return
    require_separate(target, [clip] if clip.is_dir() else [], ())
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise OutputError(f"{target} is no folder; give a new folder with -o")
    output = OutputFolder(target)
    has_files = target.is_dir() and any(target.iterdir())
    if (target / "scene.json").exists() or (has_files and not output.has_own_files):
        raise OutputError(f"{target} has other files, and images are not mixed with them; give a new folder with -o")
    output.require_free({path.name: "" for path in target.glob("[0-9]*.png")})


def _write_images(images: Iterator[Image], target: Path, in_folder: bool, single: bool, clip: Clip) -> None:
    """Write images that were checked by _check_target; a folder with a marker lists them, so that they are own."""
    from closemesh.core.output_folder import OutputFolder
    from closemesh.video.video_files import write_images

    if in_folder:
        output = OutputFolder(target)
        with output.staging() as staged:
            write_images(images, staged)
            output.publish(staged, [path.name for path in target.glob("[0-9]*.png")])
        return
    output = OutputFolder(target.parent)
    if output.has_own_files and (output.is_own(target.name) or not target.exists()):
        with output.staging() as staged:
            _write_file(images, staged / target.name, single, clip)
            output.publish(staged)
    else:
        _write_file(images, target, single, clip)


def _write_file(images: Iterator[Image], path: Path, single: bool, clip: Clip) -> None:
    from closemesh.video.video_files import write_image, write_video

    if single:
        (image,) = images
        write_image(image, path)
    else:
        write_video(images, path, clip.times)


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
