"""What an output folder keeps of a run, for commands that go on from a finished result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from closemesh.errors import InputError
from closemesh.output.scene_file import read_scene
from closemesh.records import load_record
from closemesh.scene import BodyMotion, Camera, Clip

CLIP_FILE = "clip.npz"
STAGE_OF = {"initial": "initialise", "refined": "refine", "optimised": "optimise"}
_PLACE_OF = {"initial": "1", "refined": "0", "optimised": "1"}  # Of the motion among a stage's records.


@dataclass(frozen=True)
class KeptMotion:
    """What an output folder keeps of one stage."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    body_path: str | None
    """Of the licensed body; None for the open one."""


def read_kept(out: Path, stage: str) -> KeptMotion:
    """The motion `initial`, `refined` or `optimised` that an earlier run left in `out`. Raises InputError."""
    if not (out / "scene.json").is_file():
        raise InputError(f"{out} holds no finished result; run closemesh reconstruct CLIP -o {out} first")
    config = read_scene(out / "scene.json")["config"]
    folder = out / "stages" / STAGE_OF[stage]
    return KeptMotion(
        clip=load_record(out / "stages" / CLIP_FILE, Clip),
        camera=load_record(_camera_file(out, stage), Camera),
        motion=load_record(folder / f"{_PLACE_OF[stage]}.BodyMotion.npz", BodyMotion),
        body_path=config.get("body_model"),
    )


def _camera_file(out: Path, stage: str) -> Path:
    """The optimiser finds the floor; before it the camera stands where the first motion was found."""
    made_by = "optimise" if stage == "optimised" else "initialise"
    return out / "stages" / made_by / "0.Camera.npz"
