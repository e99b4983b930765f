"""`closemesh describe OUT`: a result in words, to be read, edited and passed back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli.console import exit_codes, results


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
        from closemesh.body.load import load_body
        from closemesh.errors import InputError
        from closemesh.kept import read_kept
        from closemesh.language.descriptions_file import DESCRIPTIONS_FILE, grouped, write_descriptions
        from closemesh.language.rules import describe_motion
        from closemesh.language.say import say_told

        target = file or result / DESCRIPTIONS_FILE
        if target.exists():
            raise InputError(f"{target} is there already and may hold your own words; name another file with -o")
        kept = read_kept(result, "optimised")
        up_cam = kept.camera.T_cam_world[:, :3, 1]
        told = describe_motion(kept.motion, load_body(kept.body_path), kept.clip.times, up_cam)
        write_descriptions(target, grouped(told, "rules"))
        if show:
            for one in told:
                results.print(f"{say_told(one)}.", markup=False, soft_wrap=True)
        results.print(f"{len(told)} statements in {target}", markup=False, soft_wrap=True)
