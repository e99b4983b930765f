"""`closemesh demo`: the main job on the clip that comes with closemesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("closemesh-demo"),
    preset: o.PresetOption = None,
    device: o.DeviceOption = None,
    resume: o.ResumeOption = True,
) -> None:
    """Reconstruct the bundled clip of two people."""
    with exit_codes(when_stopped="the same command goes on where it stopped"):
        from closemesh.cli.reconstruct import run
        from closemesh.weights.known import DEMO_CLIP
        from closemesh.weights.search import find_model

        run(find_model(DEMO_CLIP), out, o.build_config(None, preset, {}), device, resume)
