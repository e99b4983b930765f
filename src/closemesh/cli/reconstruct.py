"""Reconstruct, demo.

`closemesh reconstruct CLIP -o OUT`: the main job.

`closemesh demo`: the main job on the clip that comes with closemesh.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

if TYPE_CHECKING:
    from closemesh.config.schema import Config


def reconstruct(
    clip: o.ClipArg,
    out: o.OutOption,
    preset: o.PresetOption = None,
    people: o.PeopleOption = None,
    pairs: o.PairsOption = None,
    start: o.StartOption = None,
    end: o.EndOption = None,
    fps: o.FpsOption = None,
    focal: o.FocalOption = None,
    detector: o.DetectorOption = None,
    tracker: o.TrackerOption = None,
    mask_model: o.MaskModelOption = None,
    body_model: o.BodyModelOption = None,
    no_appearance: o.NoAppearanceOption = False,
    init: o.InitOption = None,
    no_prior: o.NoPriorOption = False,
    no_physics: o.NoPhysicsOption = False,
    descriptions: o.DescriptionsOption = None,
    describe_with: o.DescribeWithOption = None,
    vlm_model: o.VlmModelOption = None,
    device: o.DeviceOption = None,
    seed: o.SeedOption = None,
    mesh_format: o.MeshFormatOption = None,
    no_overlay: o.NoOverlayOption = False,
    config: o.ConfigOption = None,
    resume: o.ResumeOption = True,
) -> None:
    """Turn a video of people in close contact into SMPL-X motion and meshes.

    [dim]closemesh reconstruct dance.mp4 -o out[/dim]
    [dim]closemesh reconstruct dance.mp4 -o out --preset best --people 2 --start 3 --end 8[/dim]
    """
    with exit_codes(when_stopped="the same command goes on where it stopped"):
        chosen = o.build_config(
            config,
            preset,
            {
                "seed": seed,
                "body_model": str(body_model) if body_model else None,
                "clip.start": start,
                "clip.end": end,
                "clip.fps": fps,
                "observe.detector": detector,
                "observe.tracker": tracker,
                "observe.mask_model": mask_model,
                "observe.people": people,
                "initialise.focal": focal,
                "optimise.appearance.enabled": False if no_appearance else None,
                "language.descriptions": str(descriptions) if descriptions else None,
                "language.describe_with": describe_with,
                "language.model": vlm_model,
                "initialise.init": str(init) if init else None,
                "refine.prior": False if no_prior else None,
                "refine.physics": False if no_physics else None,
                "optimise.physics": False if no_physics else None,
                "optimise.pairs": pairs,
                "output.mesh_format": mesh_format,
                "output.overlay": False if no_overlay else None,
            },
        )
        run(clip, out, chosen, device, resume)


def run(clip: Path, out: Path, config: Config, device: str | None, resume: bool) -> None:
    """Reconstruct with a progress display, then the summary."""
    from closemesh.cli.console import show_progress, summary
    from closemesh.output.result_json import read_scene
    from closemesh.pipeline.reconstruct import reconstruct as reconstruct_clip

    with show_progress() as progress:
        reconstruct_clip(clip, out, config, device, progress, resume)
    results.print(summary(read_scene(out / "scene.json"), out))


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("closemesh-demo"),
    preset: o.PresetOption = None,
    device: o.DeviceOption = None,
    resume: o.ResumeOption = True,
) -> None:
    """Reconstruct the bundled clip of two people."""
    with exit_codes(when_stopped="the same command goes on where it stopped"):
        from closemesh.weights.locate import find_model
        from closemesh.weights.registry import DEMO_CLIP

        run(find_model(DEMO_CLIP), out, o.build_config(None, preset, {}), device, resume)
