"""Configurations from TOML files, from and to nested values: old option names, validation, rules between options."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closemesh.config.schema import Config, preset_config
from closemesh.core.errors import InputError
from closemesh.core.foreign import require_regular, short_reason

if TYPE_CHECKING or sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RENAMED_OPTIONS = {
    "initialise.plain_iterations": "initialise.multi_start_iterations",
    "language.pictures": "language.num_frames",
    "language.answers": "language.num_samples",
    "refine.partner": "refine.cross_attention",
    "refine.projection": "refine.projection_condition",
    "refine.guidance": "refine.guidance_steps",
    "refine.statements": "language.statements",
    "refine.alignment": "language.alignment",
    "optimise.appearance.use": "optimise.appearance.enabled",
    "optimise.appearance.pictures": "optimise.appearance.num_views",
    "optimise.appearance.side": "optimise.appearance.view_size",
    "optimise.appearance.gaussians": "optimise.appearance.num_gaussians",
    "optimise.appearance.steps": "optimise.appearance.fit_steps",
    "optimise.appearance.perceptual": "optimise.appearance.lpips",
    "optimise.appearance.following": "optimise.appearance.pose_steps",
    "optimise.appearance.silhouettes": "optimise.appearance.silhouette_alignment",
}
"""Option names of earlier versions, which still work, to their names now."""
_OLD_TRACKER = 'observe.tracker = "own"'
_MAX_TOML = 1 << 20  # Bytes.
_MAX_DEPTH = 8  # Tables in tables.
_MAX_SHOWN = 60  # Characters of a wrong value.
_OLD_NAMES = RENAMED_OPTIONS | {_OLD_TRACKER: 'observe.tracker = "keypoints"'}


def override(config: Config, values: dict[str, Any]) -> Config:
    """Return `config` with nested `values` in place of its own; a table replaces only the options that it has.

    Options of earlier versions are accepted under their old names, with one FutureWarning that lists them.
    Raises InputError that names the first value that is unknown, of the wrong type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    values, renamed = rename_old_options(values)
    if renamed:
        listed = ", ".join(f"{old} is now {_OLD_NAMES[old]}" for old in renamed)
        warnings.warn(f"old option names in the configuration still work: {listed}", FutureWarning, stacklevel=2)
    try:
        changed = TypeAdapter(Config).validate_python(_merge(to_dict(config), values))
    except ValidationError as error:
        raise InputError(_first_error(error.errors()[0])) from error
    _check_rules(changed)
    return changed


def to_dict(config: Any) -> dict[str, Any]:
    """Return the options of a configuration as nested plain values without the Nones, ready for TOML or JSON."""
    values = asdict(config) if is_dataclass(config) else config  # type: ignore[arg-type]
    given = {name: value for name, value in values.items() if value is not None}
    return {name: to_dict(value) if isinstance(value, dict) else value for name, value in given.items()}


def rename_old_options(values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return nested `values` under today's option names, and the old names that were in use.

    Raises InputError when an option is given under both names.
    """
    values = _copy(values)
    renamed = []
    for old, new in RENAMED_OPTIONS.items():
        *tables, name = old.split(".")
        table = _table(values, tables)
        if name not in table:
            continue
        value = table.pop(name)
        *tables, name = new.split(".")
        target = _table(values, tables, create=True)
        if name in target:
            raise InputError(f"the configuration has {old} and its new name {new}; remove {old}")
        target[name] = value
        renamed.append(old)
    observe = _table(values, ["observe"])
    if observe.get("tracker") == "own":
        observe["tracker"] = "keypoints"
        renamed.append(_OLD_TRACKER)
    return values, renamed


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a TOML file. Raises InputError when it cannot be read."""
    require_regular(path)
    try:
        if path.stat().st_size > _MAX_TOML:
            raise InputError(f"cannot read the configuration {path}: it has more than {_MAX_TOML >> 20} MB")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise InputError(f"cannot read the configuration {path}: it is nested too deeply") from error
    except OSError as error:
        raise InputError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    except ValueError as error:  # Of the parser, of the decoder, or of an integer with too many digits.
        raise InputError(f"cannot read the configuration {path}: {short_reason(error)}") from error


def load_config(path: Path) -> Config:
    """Return the preset that a TOML file names, with the file's options in place of the preset's.

    Raises InputError when the file cannot be read or an option is wrong.
    """
    values = read_toml(path)
    return override(preset_config(values.get("preset", "balanced")), values)


def dump_config(config: Config) -> str:
    """Return the configuration as TOML text."""
    import tomli_w

    return tomli_w.dumps(to_dict(config))


def _copy(values: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """Nested tables are copied, values are not."""
    if depth > _MAX_DEPTH:
        raise InputError("the configuration has tables nested too deeply; its sections are one or two tables deep")
    return {name: _copy(value, depth + 1) if isinstance(value, dict) else value for name, value in values.items()}


def _table(values: dict[str, Any], names: list[str], create: bool = False) -> dict[str, Any]:
    """The nested table of this name; a new empty one where there is none. It is inserted if `create` is set."""
    for name in names:
        inner = values.get(name)
        if not isinstance(inner, dict):
            inner = {}
            if create and name not in values:
                values[name] = inner
        values = inner
    return values


def _merge(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in values.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if both else value
    return merged


def _first_error(error: Any) -> str:
    """One line from one of pydantic's errors."""
    # Members of a union are type names in the location; option names are lower-case identifiers.
    if error["type"] == "unexpected_keyword_argument":
        name = _shown(".".join(map(str, error["loc"])))
        return f"unknown option {name} in the configuration; closemesh reconstruct --help lists the options"
    where = ".".join(str(part) for part in error["loc"] if str(part).isidentifier() or isinstance(part, int))
    return f"option {where}: {error['msg'].lower()}, got {_shown(error['input'])}"


def _shown(value: Any) -> str:
    """The value on one line without control characters, shortened."""
    try:
        text = repr(value)
    except ValueError:  # An integer with more digits than Python converts.
        return "a number with thousands of digits"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _check_rules(config: Config) -> None:
    """Raises InputError when options contradict each other."""
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
        raise InputError("a vision-language model needs its address, --describe-with, and its name, --vlm-model")
    if any(a == b for a, b in config.optimise.pairs or ()):
        raise InputError("a pair needs two different people, such as 0-1")
    if _has_duplicates([frozenset(pair) for pair in config.optimise.pairs or ()]):
        raise InputError("a pair of --pairs is given twice; give each once, in either order")
    if isinstance(config.observe.people, tuple) and _has_duplicates(config.observe.people):
        raise InputError("a track id of --people is given twice; give each once, such as 0,3")


def _has_duplicates(values: Sequence[Hashable]) -> bool:
    return len(set(values)) < len(values)
