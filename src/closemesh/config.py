"""One frozen dataclass per stage; presets fast, balanced and best; TOML in and out."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from closemesh.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Preset = Literal["fast", "balanced", "best"]
PRESETS: tuple[Preset, ...] = ("fast", "balanced", "best")


@dataclass(frozen=True)
class ClipConfig:
    """Which frames of the input are processed."""

    start: float = 0.0
    """Seconds."""
    end: float | None = None
    """Seconds; the end of the clip when None."""
    fps: float = 30.0
    """Processing rate; a clip with a lower rate keeps its own."""


@dataclass(frozen=True)
class ObserveConfig:
    """Detection, keypoints, tracking and masks."""

    detector: Literal["auto", "mediapipe"] = "auto"
    people: int | tuple[int, ...] | None = None
    """How many people, or which track numbers; None takes those with the longest and largest tracks."""
    masks: bool = True


@dataclass(frozen=True)
class InitialiseConfig:
    """First 3D motion of each person alone."""

    focal: float | None = None
    """Focal length in pixels; None reads the sidecar or the metadata, else estimates."""
    iterations: int = 60
    """Optimiser steps per window and start."""


@dataclass(frozen=True)
class OptimiseConfig:
    """All people together."""

    iterations: int = 60
    window: int = 64
    """Frames per window."""
    overlap: int = 16
    physics: bool = True
    """Penetration, floor and foot terms."""
    pairs: tuple[tuple[int, int], ...] | None = None
    """Pairs to refine together; None finds them."""


@dataclass(frozen=True)
class Config:
    """Everything that decides a result besides the input."""

    preset: Preset = "balanced"
    seed: int = 0
    body_model: str | None = None
    """Path of a licensed SMPL-X .npz; None is the bundled open body."""
    clip: ClipConfig = field(default_factory=ClipConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    initialise: InitialiseConfig = field(default_factory=InitialiseConfig)
    optimise: OptimiseConfig = field(default_factory=OptimiseConfig)


def preset_config(preset: str) -> Config:
    """The configuration that a preset stands for. Raises InputError for an unknown name."""
    if preset == "fast":
        return Config(
            preset="fast",
            initialise=InitialiseConfig(iterations=30),
            optimise=OptimiseConfig(iterations=25),
        )
    if preset == "balanced":
        return Config()
    if preset == "best":
        return Config(
            preset="best",
            initialise=InitialiseConfig(iterations=120),
            optimise=OptimiseConfig(iterations=150),
        )
    raise InputError(f"unknown preset '{preset}'; choose one of {', '.join(PRESETS)}")


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values without the Nones, ready for TOML or JSON."""
    return {
        name: to_dict(value) if isinstance(value, dict) else value
        for name, value in (asdict(config) if is_dataclass(config) else config).items()  # type: ignore[arg-type]
        if value is not None
    }


def override(config: Any, values: dict[str, Any], where: str = "") -> Any:
    """`config` with nested `values` put in. Raises InputError for a name that the configuration does not have."""
    known = {f.name for f in fields(config)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"unknown option '{where}{unknown[0]}'; known here: {', '.join(sorted(known))}")
    changes = {
        name: override(getattr(config, name), value, f"{where}{name}.")
        if is_dataclass(getattr(config, name))
        else _freeze(value)
        for name, value in values.items()
    }
    return replace(config, **changes)


def load_config(path: Path) -> Config:
    """A TOML file laid over the preset that it names. Raises InputError when it cannot be read."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read the configuration {path}: {error}") from error
    return override(preset_config(values.get("preset", "balanced")), values)


def dump_config(config: Config) -> str:
    """The configuration as TOML."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def _freeze(value: Any) -> Any:
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
