"""Configurations out of TOML files and options, checked, and into TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli

from closemesh.config.schema import Config, preset_config, to_dict
from closemesh.core.errors import InputError


def override(config: Config, values: dict[str, Any]) -> Config:
    """`config` with nested `values` laid over it.

    Raises InputError that names the first value that is unknown, of a wrong kind or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        changed = TypeAdapter(Config).validate_python(_merge(to_dict(config), values))
    except ValidationError as error:
        raise InputError(_first_fault(error.errors()[0])) from error
    return _check_together(changed)


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises InputError when it cannot be read."""
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise InputError(f"cannot read the configuration {path}: {error}") from error


def load_config(path: Path) -> Config:
    """A TOML file laid over the preset that it names. Raises InputError when it cannot be read."""
    values = read_toml(path)
    return override(preset_config(values.get("preset", "balanced")), values)


def dump_config(config: Config) -> str:
    """The configuration as TOML."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def _merge(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in values.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if both else value
    return merged


def _first_fault(fault: Any) -> str:
    """One line from pydantic's account of a fault."""
    # Members of a union stand in the location as type names; the option's own name is lower case.
    where = ".".join(str(part) for part in fault["loc"] if str(part).isidentifier() or isinstance(part, int))
    if fault["type"] == "unexpected_keyword_argument":
        return f"unknown option '{where}' in the configuration; closemesh reconstruct --help lists the options"
    return f"option {where}: {fault['msg'].lower()}, got {fault['input']!r}"


def _check_together(config: Config) -> Config:
    """Rules that tie several values. Raises InputError."""
    clip = config.clip
    if clip.end is not None and clip.end <= clip.start:
        raise InputError(f"the clip ends at {clip.end:g} s, before it starts at {clip.start:g} s; give a later end")
    for stage in (config.initialise, config.optimise):
        if stage.overlap >= stage.window:
            raise InputError(f"windows of {stage.window} frames cannot overlap by {stage.overlap}")
    language = config.language
    if language.descriptions and language.describe_with:
        raise InputError("descriptions come from a file or from a model, not from both; leave one out")
    if bool(language.describe_with) != bool(language.model):
        raise InputError("a model that describes needs both its address, --describe-with, and its name, --vlm-model")
    if any(a == b for a, b in config.optimise.pairs or ()):
        raise InputError("a pair needs two different people, such as 0-1")
    return config
