"""The options that commands share, declared once, and the configuration that they make."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from closemesh.cli.console import print_line
from closemesh.config.schema import Detector, MaskModel, MeshFormat, Preset, TrackerKind

if TYPE_CHECKING:
    from closemesh.config.schema import Config


def parse_people(text: str) -> Any:
    """`2` is how many; `0,3` (or `3,` for one) are track numbers."""
    try:
        if "," not in text:
            return int(text)
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a number such as 2 nor a list of tracks such as 0,3") from None


def parse_pairs(text: str) -> Any:
    """`0-1,1-2`."""
    try:
        return tuple((int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no list of pairs such as 0-1,1-2") from None


_INPUT, _METHOD, _OUTPUT = "Input", "Method", "Output"

ClipArg = Annotated[Path, typer.Argument(help="A video, or a folder of numbered images.", show_default=False)]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made when it is not there.")]
PresetOption = Annotated[
    Preset | None,
    typer.Option(help="How much work is spent.", rich_help_panel=_METHOD, show_default="balanced"),
]
PeopleOption = Annotated[
    Any | None,
    typer.Option(
        metavar="N|A,B",
        parser=parse_people,
        help="How many people, or which track numbers (3, for one).",
        rich_help_panel=_INPUT,
    ),
]
PairsOption = Annotated[
    Any | None,
    typer.Option(
        metavar="A-B,...",
        parser=parse_pairs,
        help="Pairs to refine together; found when not given.",
        rich_help_panel=_METHOD,
    ),
]
StartOption = Annotated[float | None, typer.Option(help="Seconds.", min=0, rich_help_panel=_INPUT)]
EndOption = Annotated[float | None, typer.Option(help="Seconds.", min=0, rich_help_panel=_INPUT)]
FpsOption = Annotated[
    float | None, typer.Option(help="Frames a second to process.", rich_help_panel=_INPUT, show_default="30")
]
FocalOption = Annotated[
    float | None, typer.Option(help="Focal length in pixels; read or estimated when not given.", rich_help_panel=_INPUT)
]
DetectorOption = Annotated[
    Detector | None,
    typer.Option(help="Who finds the people.", rich_help_panel=_METHOD, show_default="the best that is there"),
]
TrackerOption = Annotated[
    TrackerKind | None, typer.Option(help="Who follows them.", rich_help_panel=_METHOD, show_default="keypoints")
]
MaskModelOption = Annotated[
    MaskModel | None,
    typer.Option(help="Who cuts the people out.", rich_help_panel=_METHOD, show_default="the best that is there"),
]
BodyModelOption = Annotated[
    Path | None,
    typer.Option(help="A licensed SMPL-X .npz or .pkl instead of the bundled open body.", rich_help_panel=_METHOD),
]
InitOption = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Start from another tool's result: 4D-Humans, WHAM, GVHMR, CoMotion, PromptHMR or AMASS files.",
        rich_help_panel=_METHOD,
    ),
]
NoPhysicsOption = Annotated[
    bool, typer.Option("--no-physics", help="Without penetration, floor and foot terms.", rich_help_panel=_METHOD)
]
NoAppearanceOption = Annotated[
    bool, typer.Option("--no-appearance", help="Without everybody's look as evidence.", rich_help_panel=_METHOD)
]
NoPriorOption = Annotated[
    bool, typer.Option("--no-prior", help="Without what is known of how people touch.", rich_help_panel=_METHOD)
]
DescriptionsOption = Annotated[
    Path | None,
    typer.Option(help="What the people do, in words: a descriptions.json to heed.", rich_help_panel=_METHOD),
]
DescribeWithOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Have doubtful frames described by a model there (OpenAI's chat protocol); pictures are sent to it. "
        "Its key: $CLOSEMESH_VLM_KEY.",
        rich_help_panel=_METHOD,
    ),
]
VlmModelOption = Annotated[
    str | None, typer.Option("--vlm-model", metavar="NAME", help="Which model.", rich_help_panel=_METHOD)
]
SeedOption = Annotated[int | None, typer.Option(help="Same seed, same machine, same bytes.", rich_help_panel=_METHOD)]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...", rich_help_panel=_METHOD)]
MeshFormatOption = Annotated[
    MeshFormat | None,
    typer.Option(help="One animated glb, or one ply or obj for each person and frame.", rich_help_panel=_OUTPUT),
]
NoOverlayOption = Annotated[bool, typer.Option("--no-overlay", help="Without overlay.mp4.", rich_help_panel=_OUTPUT)]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A TOML file; options given here go before it.", rich_help_panel=_METHOD)
]
ResumeOption = Annotated[
    bool,
    typer.Option("--resume/--fresh", help="Use what an earlier run made, or begin anew.", rich_help_panel=_OUTPUT),
]


def build_config(file: Path | None, preset: str | None, given: dict[str, Any]) -> Config:
    """The configuration from a preset, a TOML file over it, and the options given on top.

    `given` has dotted names (`clip.start`) and None where an option was not given. A fault in the file is an
    InputError, a fault in an option is wrong usage.
    """
    from closemesh.config.loading import override, read_toml
    from closemesh.config.schema import preset_config
    from closemesh.core.errors import InputError

    values = read_toml(file) if file else {}
    name = preset or values.get("preset", "balanced")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = override(preset_config(name), {**values, "preset": name})
    for warning in caught:
        print_line(f"note: {warning.message}")
    try:
        return override(config, _nested(given))
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def _nested(given: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in given.items():
        if value is not None:
            *parents, name = dotted.split(".")
            level = nested
            for parent in parents:
                level = level.setdefault(parent, {})
            level[name] = value
    return nested
