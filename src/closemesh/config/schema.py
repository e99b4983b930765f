"""One frozen dataclass per stage, the presets, and which fields are command line options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from annotated_types import Interval, Len

from closemesh.core.errors import InputError

Preset = Literal["fast", "balanced", "best"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
Detector = Literal["auto", "mediapipe", "yolo", "rtmw"]
TrackerKind = Literal["keypoints", "bytetrack", "botsort", "own"]
PoseNetwork = Literal["full", "heavy"]
MaskModel = Literal["auto", "mediapipe", "yolo", "sam"]
MeshFormat = Literal["glb", "ply", "obj"]
MotionBranch = Literal["parameters", "network"]

INPUT, METHOD, OUTPUT = "Input", "Method", "Output"
# A misspelled name in a TOML file is an error, not ignored; no option can be infinite.
_STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}
MAX_SEED = 2**63 - 1  # The largest that every generator of random numbers takes.
_Count = Annotated[int, Interval(ge=1, le=1000)]
_FromZero = Annotated[int, Interval(ge=0, le=10**6)]
_Seconds = Annotated[float, Interval(ge=0, le=10**7)]
_Rate = Annotated[float, Interval(gt=0, le=1000)]
_Steps = Annotated[int, Interval(ge=1, le=10**6)]
_Window = Annotated[int, Interval(ge=2, le=10_000)]


@dataclass(frozen=True)
class Cli:
    """Marks a field as a command line option; `cli/options.py` turns it into one. Fields may have a flag in common."""

    flag: str
    help: str
    panel: str
    """The heading of `--help` under which the option is listed."""
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    """Makes the value from the text of the option; raises ValueError for a text that it cannot read."""
    off: bool = False
    """The flag takes no value and sets the field to False."""
    is_path: bool = False


def parse_people(text: str) -> int | tuple[int, ...]:
    """Return the number in `2`, or the track ids in `0,3` or `3,`. Raises ValueError."""
    try:
        ids = tuple(int(part) for part in text.split(",") if part.strip())
        return ids if "," in text and ids else int(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is neither a number such as 2 nor a list of ids such as 0,3") from None


def parse_pairs(text: str) -> tuple[tuple[int, int], ...]:
    """Return the pairs of track ids in `0-1,1-2`. Raises ValueError."""
    try:
        return tuple((int(a), int(b)) for a, b in (pair.split("-") for pair in text.split(",")))
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no list of pairs such as 0-1,1-2") from None


SEED = Cli("--seed", "Seed of all random numbers; the same seed gives the same motion on the same machine.", METHOD)
BODY_MODEL = Cli("--body-model", "A licensed SMPL-X .npz or .pkl; the bundled body if not given.", METHOD, is_path=True)
_NO_PHYSICS = Cli("--no-physics", "Without penetration, floor and foot contact terms.", METHOD, off=True)


@dataclass(frozen=True)
class ClipConfig:
    """Which frames of the input are processed."""

    __pydantic_config__ = _STRICT

    start: Annotated[_Seconds, Cli("--start", "First second that is processed.", INPUT)] = 0.0
    """Seconds."""
    end: Annotated[
        Annotated[float, Interval(gt=0, le=10**7)] | None,
        Cli("--end", "Second at which to stop; the end of the clip if not given.", INPUT),
    ] = None
    """Seconds; the end of the clip when None."""
    fps: Annotated[_Rate, Cli("--fps", "Frames to process per second; at most those of the clip.", INPUT)] = 30.0
    """Processing rate; a clip with a lower rate keeps its own."""


@dataclass(frozen=True)
class ObserveConfig:
    """Detection, keypoints, tracking and masks."""

    __pydantic_config__ = _STRICT

    detector: Annotated[
        Detector, Cli("--detector", "Person and keypoint detector; auto: the best one installed.", METHOD)
    ] = "auto"
    """`auto` is the best one installed; `rtmw` adds hands and face."""
    people: Annotated[
        _Count | Annotated[tuple[_FromZero, ...], Len(1)] | None,
        Cli("--people", "Number of people, or ids of tracks (3, for one).", INPUT, "N|A,B", parse_people),
    ] = None
    """Number of people, or track ids; None selects people by length and size of their tracks."""
    tracker: Annotated[
        TrackerKind,
        Cli("--tracker", "How people are tracked: by keypoints and clothing colors, or by boxes.", METHOD),
    ] = "keypoints"
    """`keypoints` compares keypoints and clothing colors, the others compare boxes; `own` means `keypoints`."""
    pose_network: Annotated[
        PoseNetwork,
        Cli("--pose-network", "BlazePose for feet, 3D keypoints and masks; heavy is larger and slower.", METHOD),
    ] = "heavy"
    """BlazePose for feet, hands, 3D keypoints and masks: `heavy` is larger and slower, its 2D points are better."""
    hands: bool = True
    """Also estimate the keypoints of each hand from a crop."""
    flow: bool = False
    """Also carry keypoints by optical flow to frames in which a partner is near."""
    masks: bool = True
    mask_model: Annotated[
        MaskModel, Cli("--mask-model", "Segmentation model; auto: the best one installed.", METHOD)
    ] = "auto"


@dataclass(frozen=True)
class InitialiseConfig:
    """First 3D motion of each person, without the others."""

    __pydantic_config__ = _STRICT

    focal: Annotated[
        Annotated[float, Interval(gt=0, le=10**7)] | None,
        Cli("--focal", "Focal length in pixels; read from the clip or estimated if not given.", INPUT),
    ] = None
    """Focal length in pixels; None reads a camera file or the metadata, or estimates it."""
    camera: Annotated[
        str | None,
        Cli(
            "--camera",
            "Camera of the clip from a file: intrinsics .json, or the result of MoGe, GeoCalib, VGGT or COLMAP.",
            INPUT,
            is_path=True,
        ),
    ] = None
    """Path of a camera file; None takes the one beside the clip, if there is one."""
    lifter: bool = True
    """Start from the prediction of the lifting network; if False, fit every frame from several start poses."""
    init: Annotated[
        str | None,
        Cli(
            "--init",
            "Start from the result of 4D-Humans, WHAM, GVHMR, CoMotion, PromptHMR, SAM 3D Body, or an AMASS file.",
            METHOD,
            is_path=True,
        ),
    ] = None
    """Path of another tool's result to start from, a file or a folder; None predicts the first motion."""
    iterations: _Steps = 120
    """Optimizer steps per window, from the prediction of the lifting network."""
    multi_start_iterations: _Steps = 120
    """Optimizer steps per window and start pose, without the lifting network."""
    window: _Window = 64
    """Frames per window."""
    overlap: _FromZero = 16
    """Frames that neighboring windows have in common."""


@dataclass(frozen=True)
class LanguageConfig:
    """Statements about the people, from a file or from a vision-language model."""

    __pydantic_config__ = _STRICT

    descriptions: Annotated[
        str | None,
        Cli("--descriptions", "A descriptions.json with statements about the people.", METHOD, is_path=True),
    ] = None
    """Path of a descriptions.json."""
    describe_with: Annotated[
        str | None,
        Cli(
            "--describe-with",
            "Ask a vision-language model about ambiguous frames, which are sent to this address (OpenAI's chat "
            "protocol). The key comes from $CLOSEMESH_VLM_KEY.",
            METHOD,
            "URL",
        ),
    ] = None
    """Address of an OpenAI-compatible chat endpoint that accepts images."""
    model: Annotated[
        str | None, Cli("--vlm-model", "Name of the model at the address of --describe-with.", METHOD, "NAME")
    ] = None
    num_frames: _Count = 8
    """Most key frames that the model is asked about."""
    num_samples: _Count = 5
    """Answers to each question; the vote counts."""
    timeout: Annotated[float, Interval(gt=0, le=86_400)] = 120.0
    """Seconds to wait for an answer."""
    statements: bool = True
    """Use each statement as a term of the refinement and of the joint fit."""
    alignment: bool = True
    """Also compare each person with all statements about that person, in the shared space of text and pose."""


@dataclass(frozen=True)
class RefineConfig:
    """Pairs of people refined together by the interaction prior."""

    __pydantic_config__ = _STRICT

    prior: Annotated[
        bool, Cli("--no-prior", "Without the interaction prior for pairs of people.", METHOD, off=True)
    ] = True
    """Run the interaction prior."""
    codebook: bool = True
    """Also guide by the codebook of interactions."""
    cross_attention: bool = True
    """The denoiser attends to the other person."""
    projection_condition: bool = True
    """The denoiser gets the reprojection of its current estimate as a condition."""
    physics: Annotated[bool, _NO_PHYSICS] = True
    """Guide by penetration and contact distance."""
    guidance_steps: _Count = 6
    """Gradient steps after each prediction of the denoiser."""
    max_frames: Annotated[int, Interval(ge=32, le=10_000)] = 160
    """Frames refined at once, so that memory does not grow with the clip."""


@dataclass(frozen=True)
class AppearanceConfig:
    """Gaussian avatars and photometric alignment; they need masks."""

    __pydantic_config__ = _STRICT

    enabled: Annotated[
        bool, Cli("--no-appearance", "Without Gaussian avatars and photometric alignment.", METHOD, off=True)
    ] = True
    num_views: Annotated[int, Interval(ge=1, le=10_000)] = 24
    """Most training views, spread evenly over the clip."""
    view_size: Annotated[int, Interval(ge=32, le=4096)] = 256
    """Side of the square training views in pixels."""
    num_gaussians: Annotated[int, Interval(ge=100, le=10**6)] = 10_000
    """For each person."""
    fit_steps: _Steps = 160
    """Optimizer steps of the avatars."""
    lpips: bool = False
    """Add LPIPS to the photometric loss: sharper and slower."""
    pose_steps: _FromZero = 40
    """Optimizer steps of the photometric alignment of the motion."""
    joint: bool = False
    """Keep the photometric loss in the joint fit, and fit avatars and motion in turn: better avatars."""
    silhouette_alignment: bool = False
    """Align the motion to the masks before the avatars are fitted: helps for standing people, not for lying ones."""


@dataclass(frozen=True)
class OptimiseConfig:
    """Joint fit of all people."""

    __pydantic_config__ = _STRICT

    iterations: _Steps = 100
    """Optimizer steps per window; 80 % more where people are close."""
    window: _Window = 64
    """Frames per window."""
    overlap: _FromZero = 16
    """Frames that neighboring windows have in common."""
    physics: Annotated[bool, _NO_PHYSICS] = True
    """Penetration, floor and foot contact terms."""
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    motion: MotionBranch = "parameters"
    """What the optimizer changes: SMPL-X parameters, or the weights of the denoiser that predicts all pairs."""
    pairs: Annotated[
        Annotated[tuple[tuple[_FromZero, _FromZero], ...], Len(1)] | None,
        Cli(
            "--pairs",
            "Pairs of people whose contact the last stage fits; found if not given.",
            METHOD,
            "A-B,...",
            parse_pairs,
        ),
    ] = None
    """Pairs whose contact is fitted, as indices of people (0 is person_00); None finds them."""


@dataclass(frozen=True)
class OutputConfig:
    """Which files are written besides the motion itself."""

    __pydantic_config__ = _STRICT

    mesh_format: Annotated[
        MeshFormat,
        Cli(
            "--mesh-format",
            "ply or obj also writes one mesh for each person and frame, beside the animated glb.",
            OUTPUT,
        ),
    ] = "glb"
    """`glb` is one animated scene; `ply` and `obj` add one file for each person and frame."""
    overlay: Annotated[bool, Cli("--no-overlay", "Without overlay.mp4 and overlay.png.", OUTPUT, off=True)] = True
    report: Annotated[bool, Cli("--no-report", "Without report.html, which holds the video.", OUTPUT, off=True)] = True


@dataclass(frozen=True)
class Config:
    """Everything that decides a result besides the input."""

    __pydantic_config__ = _STRICT

    preset: Annotated[Preset, Cli("--preset", "How much time the fits take.", METHOD)] = "balanced"
    seed: Annotated[int, Interval(ge=0, le=MAX_SEED), SEED] = 0
    body_model: Annotated[str | None, BODY_MODEL] = None
    """Path of a licensed SMPL-X .npz or .pkl; None is the bundled body."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)
    output: OutputConfig = field(default_factory=OutputConfig)


def preset_config(preset: str) -> Config:
    """Return the configuration of a preset. Raises InputError for an unknown name."""
    if preset == "fast":
        return Config(
            preset="fast",
            observe=ObserveConfig(pose_network="full"),
            initialise=InitialiseConfig(iterations=40, multi_start_iterations=50),
            refine=RefineConfig(guidance_steps=4),
            optimise=OptimiseConfig(iterations=40, appearance=AppearanceConfig(enabled=False)),
        )
    if preset == "balanced":
        return Config()
    if preset == "best":
        appearance = AppearanceConfig(
            num_views=64, view_size=512, num_gaussians=30_000, fit_steps=300, pose_steps=60, lpips=True
        )
        return Config(
            preset="best",
            initialise=InitialiseConfig(iterations=240, multi_start_iterations=300),
            optimise=OptimiseConfig(iterations=200, appearance=appearance),
        )
    raise InputError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
