"""The command `fix`: edits of a finished result, after which only what depends on them runs again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli import options as o
from closemesh.cli.console import HOW_TO_RESUME, exit_codes, results

_EDITS = "Edits"
_Texts = list[str] | None


def fix(
    result: Annotated[Path, typer.Argument(metavar="OUT", help="Folder that reconstruct wrote.", show_default=False)],
    swap: Annotated[
        _Texts,
        typer.Option(metavar="A:B@FIRST-LAST", help="Exchange two people in these frames.", rich_help_panel=_EDITS),
    ] = None,
    drop: Annotated[
        _Texts,
        typer.Option(metavar="A[@FIRST-LAST]", help="Leave a person out.", rich_help_panel=_EDITS),
    ] = None,
    merge: Annotated[
        _Texts,
        typer.Option(metavar="A+B", help="B is the same person as A, who is preferred.", rich_help_panel=_EDITS),
    ] = None,
    pin: Annotated[
        _Texts,
        typer.Option(metavar="A:KEYPOINT@FRAME=X,Y", help="This keypoint is at this pixel.", rich_help_panel=_EDITS),
    ] = None,
    touch: Annotated[
        _Texts,
        typer.Option(metavar="A:PART-B:PART@FIRST-LAST", help="These parts are in contact.", rich_help_panel=_EDITS),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Remove the last edit.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Print the edits of the result.")] = False,
    clip: Annotated[Path | None, typer.Option(help="The clip, if it was moved.")] = None,
    device: o.DeviceOption = None,
) -> None:
    """Repair a finished result: mixed-up people, wrong keypoints, missing contact. Detection does not run again.

    [dim]closemesh fix out --swap 0:1@120-180[/dim]
    [dim]closemesh fix out --pin 0:left_wrist@41=312,518 --touch 0:left_hand-1:back@41-58[/dim]
    [dim]closemesh fix out --undo[/dim]
    """
    given = {"swap": swap, "drop": drop, "merge": merge, "pin": pin, "touch": touch}
    with exit_codes(when_stopped=HOW_TO_RESUME):
        texts = [(kind, text) for kind, some in given.items() for text in some or ()]
        if (len(texts) > 0) + undo + show != 1:
            raise typer.BadParameter("give edits, such as --swap 0:1@120-180, or --undo, or --list")
        if show:
            _print_edits(result)
        else:
            _rerun(result, texts, clip, device)


def _print_edits(result: Path) -> None:
    from closemesh.pipeline.repair import saved_edits

    for edit in saved_edits(result):
        results.print(str(edit), markup=False, soft_wrap=True)


def _rerun(result: Path, texts: list[tuple[str, str]], clip: Path | None, device: str | None) -> None:
    """Add the edits, or undo the last one where there are none; then print the summary."""
    from closemesh.cli.console import show_progress, summary
    from closemesh.output.result_json import read_scene
    from closemesh.pipeline.repair import apply_edits, undo_edit
    from closemesh.repair.edits import parse_edit

    edits = [parse_edit(kind, text) for kind, text in texts]
    with show_progress() as progress:
        if edits:
            apply_edits(result, edits, device, progress, clip)
        else:
            undo_edit(result, device, progress, clip)
    results.print(summary(read_scene(result / "scene.json"), result))
