"""One frozen dataclass per stage; presets fast, balanced and best."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt

from closemesh.core.errors import InputError

Preset = Literal["fast", "balanced", "best"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Detector = Literal["auto", "mediapipe", "yolo", "rtmw"]
TrackerKind = Literal["keypoints", "bytetrack", "botsort", "own"]
MaskModel = Literal["auto", "mediapipe", "yolo", "sam"]
MeshFormat = Literal["glb", "ply", "obj"]
MotionBranch = Literal["parameters", "network"]

_NO_OTHER_NAMES = {"extra": "forbid"}  # A misspelt name in a TOML file is an error, not ignored.


@dataclass(frozen=True)
class ClipConfig:
    """Which frames of the input are processed."""

    __pydantic_config__ = _NO_OTHER_NAMES

    start: Annotated[float, Ge(0)] = 0.0
    """Seconds."""
    end: Annotated[float, Gt(0)] | None = None
    """Seconds; the end of the clip when None."""
    fps: Annotated[float, Gt(0)] = 30.0
    """Processing rate; a clip with a lower rate keeps its own."""


@dataclass(frozen=True)
class ObserveConfig:
    """Detection, keypoints, tracking and masks."""

    __pydantic_config__ = _NO_OTHER_NAMES

    detector: Detector = "auto"
    """Who finds people; `auto` is the best that is there, `rtmw` adds hands and face."""
    people: Annotated[int, Ge(1)] | tuple[Annotated[int, Ge(0)], ...] | None = None
    """How many people, or which track numbers; None takes those with the longest and largest tracks."""
    tracker: TrackerKind = "keypoints"
    """`keypoints` compares keypoints and clothing colors, the others compare boxes; `own` means `keypoints`."""
    hands: bool = True
    """Look at each hand too, for its fingers."""
    masks: bool = True
    mask_model: MaskModel = "auto"
    """Who cuts people out; `auto` is the best that is there."""


@dataclass(frozen=True)
class InitialiseConfig:
    """First 3D motion of each person alone."""

    __pydantic_config__ = _NO_OTHER_NAMES

    focal: Annotated[float, Gt(0)] | None = None
    """Focal length in pixels; None reads the sidecar or the metadata, else estimates."""
    lifter: bool = True
    """Start from the learned first pose; else every frame is fitted from several starts."""
    init: str | None = None
    """Path of another tool's result to start from, a file or a folder of files; None is our own first pose."""
    iterations: Annotated[int, Ge(1)] = 120
    """Optimiser steps per window, near the learned first pose."""
    multi_start_iterations: Annotated[int, Ge(1)] = 120
    """Optimiser steps per window and start, without it."""
    window: Annotated[int, Ge(2)] = 64
    """Frames per window."""
    overlap: Annotated[int, Ge(0)] = 16


@dataclass(frozen=True)
class LanguageConfig:
    """What is said of the people, by a file or by a model that looks at pictures."""

    __pydantic_config__ = _NO_OTHER_NAMES

    descriptions: str | None = None
    """Path of a descriptions.json."""
    describe_with: str | None = None
    """Address of an OpenAI-compatible chat endpoint that takes pictures."""
    model: str | None = None
    """Name of the model there."""
    num_frames: Annotated[int, Ge(1)] = 8
    """Frames that it is asked about, at most."""
    num_samples: Annotated[int, Ge(1)] = 5
    """Answers to each question, voted upon."""
    timeout: Annotated[float, Gt(0)] = 120.0
    """Seconds to wait for an answer."""
    statements: bool = True
    """Use each statement as a term of the refinement."""
    alignment: bool = True
    """Also compare each person with all statements about that person, in the shared space of text and pose."""


@dataclass(frozen=True)
class RefineConfig:
    """Pairs together, by what is known of how people touch."""

    __pydantic_config__ = _NO_OTHER_NAMES

    prior: bool = True
    """Refine by the interaction prior at all."""
    codebook: bool = False
    """Mix in the book of interactions."""
    cross_attention: bool = True
    """Let the network see the other person."""
    projection_condition: bool = True
    """Let the network see where its estimate falls in the picture."""
    physics: bool = True
    """Guide by penetration and contact."""
    guidance_steps: Annotated[int, Ge(1)] = 6
    """Steps of gradient descent after each of the network's predictions."""


@dataclass(frozen=True)
class AppearanceConfig:
    """Everybody's look, as evidence beside keypoints; needs masks."""

    __pydantic_config__ = _NO_OTHER_NAMES

    enabled: bool = True
    num_views: Annotated[int, Ge(1)] = 24
    """Frames that are looked at, spread over the clip."""
    view_size: Annotated[int, Ge(32)] = 256
    """Pixels of the square pictures."""
    num_gaussians: Annotated[int, Ge(100)] = 10_000
    """For each person."""
    fit_steps: Annotated[int, Ge(1)] = 160
    """Of learning the looks before they are used."""
    lpips: bool = False
    """Learn them also by what a network sees (LPIPS): sharper, and slower."""
    pose_steps: Annotated[int, Ge(0)] = 40
    """Steps of bringing the motion to the pictures."""
    silhouette_alignment: bool = False
    """Bring it to the masks before looks are learned: good for people who stand, bad for who lies or is carried."""


@dataclass(frozen=True)
class OptimiseConfig:
    """All people together."""

    __pydantic_config__ = _NO_OTHER_NAMES

    iterations: Annotated[int, Ge(1)] = 100
    window: Annotated[int, Ge(2)] = 64
    """Frames per window."""
    overlap: Annotated[int, Ge(0)] = 16
    physics: bool = True
    """Penetration, floor and foot terms."""
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    motion: MotionBranch = "parameters"
    """What is optimised: SMPL-X parameters, or the weights of the denoiser that tells them (of one pair)."""
    pairs: tuple[tuple[int, int], ...] | None = None
    """Pairs to refine together; None finds them."""


@dataclass(frozen=True)
class OutputConfig:
    """Which files are written besides the motion itself."""

    __pydantic_config__ = _NO_OTHER_NAMES

    mesh_format: MeshFormat = "glb"
    """`glb` is one animated scene; `ply` and `obj` are one file for each person and frame."""
    overlay: bool = True


@dataclass(frozen=True)
class Config:
    """Everything that decides a result besides the input."""

    __pydantic_config__ = _NO_OTHER_NAMES

    preset: Preset = "balanced"
    seed: Annotated[int, Ge(0)] = 0
    body_model: str | None = None
    """Path of a licensed SMPL-X .npz; None is the bundled open body."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)
    output: OutputConfig = field(default_factory=OutputConfig)


def preset_config(preset: str) -> Config:
    """The configuration that a preset stands for. Raises InputError for an unknown name."""
    if preset == "fast":
        return Config(
            preset="fast",
            initialise=InitialiseConfig(iterations=40, multi_start_iterations=50),
            refine=RefineConfig(guidance_steps=4),
            optimise=OptimiseConfig(iterations=40, appearance=AppearanceConfig(enabled=False)),
        )
    if preset == "balanced":
        return Config()
    if preset == "best":
        return Config(
            preset="best",
            initialise=InitialiseConfig(iterations=240, multi_start_iterations=300),
            optimise=OptimiseConfig(
                iterations=200,
                appearance=AppearanceConfig(
                    num_views=64, view_size=512, num_gaussians=30_000, fit_steps=300, pose_steps=60, lpips=True
                ),
            ),
        )
    raise InputError(f"unknown preset '{preset}'; choose one of {', '.join(PRESETS)}")


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values without the Nones, ready for TOML or JSON."""
    return {
        name: to_dict(value) if isinstance(value, dict) else value
        for name, value in (asdict(config) if is_dataclass(config) else config).items()  # type: ignore[arg-type]
        if value is not None
    }
