"""`closemesh render OUT`: pictures and films of a result, without OpenGL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.output.movie import Image
    from closemesh.progress import Advance
    from closemesh.scene import Clip

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
    from closemesh.body.load import load_body
    from closemesh.cli.progress import show_progress
    from closemesh.kept import read_kept
    from closemesh.output.movie import write_movie, write_pictures
    from closemesh.output.render import render_view
    from closemesh.video import read_frames

    kept = read_kept(result, stage)
    frames = read_frames(_found_clip(kept.clip, clip_file)) if view == "overlay" else None
    body = load_body(kept.body_path)
    pictures = render_view(view, kept.clip, kept.camera, kept.motion, body, frames)
    with show_progress() as progress, progress.task(f"render {view}", len(kept.clip)) as advance:
        if picture == "mp4":
            write_movie(_counted(pictures, advance), target, kept.clip.times)
        else:
            write_pictures(_counted(pictures, advance), target)


def _found_clip(clip: Clip, moved_to: Path | None) -> Clip:
    """The clip where it is now. Raises InputError when it is not there."""
    from closemesh.errors import InputError

    here = replace(clip, path=moved_to or clip.path)
    if not here.path.exists():
        raise InputError(f"{here.path}: the clip is no longer there; name its new place with --clip FILE")
    return here


def _counted(pictures: Iterator[Image], advance: Advance) -> Iterator[Image]:
    for picture in pictures:
        yield picture
        advance(1)
