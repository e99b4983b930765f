"""Typer options: those of the configuration, made from its fields, and those that several commands share."""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from annotated_types import Interval

from closemesh.cli.console import exit_codes, print_line
from closemesh.config.schema import BODY_MODEL, INPUT, MAX_SEED, METHOD, OUTPUT, SEED, Cli, Config

Command = Callable[..., None]

ClipArg = Annotated[Path, typer.Argument(help="A video, a folder of numbered images, or a photo.", show_default=False)]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; it is created if missing.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, max=MAX_SEED, help=SEED.help, rich_help_panel=METHOD)]
BodyModelOption = Annotated[Path | None, typer.Option("--body-model", help=BODY_MODEL.help, rich_help_panel=METHOD)]
QuickOption = Annotated[bool, typer.Option("--quick", help="A small fixed selection of windows.")]
KindsOption = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Only windows of these kinds; held-out: those never trained on.")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only the first N windows.")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, help="Windows at a time.", show_default="one per core, at most 8")
]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...", rich_help_panel=METHOD)]
PhotosOption = Annotated[
    bool,
    typer.Option("--photos", help="Each image of the folder by itself, into OUT/NAME.", rich_help_panel=INPUT),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume/--fresh", help="Use cached stages of an earlier run, or compute them anew.", rich_help_panel=OUTPUT
    ),
]
_ConfigFileOption = Annotated[
    Path | None,
    typer.Option("--config", help="A TOML file; options on the command line override it.", rich_help_panel=METHOD),
]


_MAX_JOBS = 8  # Each is a process with the networks in its memory.


def count_jobs(jobs: int | None) -> int:
    """The number of --jobs, or one per core, at most 8."""
    return jobs or min(os.cpu_count() or 1, _MAX_JOBS)


def check_new_file(file: Path | None, overwrite: bool, *inputs: Path | None) -> None:
    """Check that the file of an option, if given, can be written without loss; inputs: what the command reads.

    Raises OutputError.
    """
    from closemesh.core.output_folder import require_new_file

    if file is not None:
        require_new_file(file, overwrite, [one for one in inputs if one is not None])


def window_folder(file: Path | None) -> Path | None:
    """Return the folder beside the file of `--json` where finished windows are cached.

    Raises InputError when the file would have the same name.
    """
    from closemesh.core.errors import InputError

    if file is not None and file.suffix == ".windows":
        raise InputError(f"{file} is the name of the cache beside a report; give a name such as report.json")
    return file.with_suffix(".windows") if file else None


def has_windows(file: Path | None) -> bool:
    """Whether an earlier run with this file of `--json` left its cache of windows, so that the file is its report."""
    from closemesh.core.output_folder import OutputFolder

    folder = window_folder(file)
    return folder is not None and OutputFolder(folder).is_marked


def write_report(file: Path | None, values: Any) -> None:
    """Write the file of `--json`, if given. Raises OutputError when it cannot be written."""
    from closemesh.core.files import atomic_file

    if file is not None:
        with atomic_file(file) as part:
            part.write_text(json.dumps(values, indent=1))


def claim_folder(folder: Path) -> None:
    """Mark the folder of an option as one for files of closemesh. Raises OutputError when it has other files."""
    from closemesh.core.output_folder import claim_folder as claim

    claim(folder)


@dataclass(frozen=True)
class ConfigOption:
    """A command line option and the fields of the configuration that it sets."""

    cli: Cli
    hint: Any
    """Type of the field, with metadata."""
    default: Any
    targets: tuple[str, ...]
    """Dotted names of the fields."""

    @property
    def name(self) -> str:
        """The name of the option as a parameter."""
        return self.cli.flag.lstrip("-").replace("-", "_")

    def parameter(self) -> inspect.Parameter:
        """Return the parameter from which Typer makes the option."""
        kind, settings = _value_type(self.hint), {}
        if self.cli.off:
            kind = bool
        elif self.cli.parse:
            kind, settings["parser"] = Any, _usage_error(self.cli.parse)
        elif self.cli.is_path:
            kind = Path
        elif kind in (int, float):
            settings |= _closed_bounds(self.hint)
        if self.default is not None and not self.cli.off:
            settings["show_default"] = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        option = typer.Option(
            self.cli.flag, help=self.cli.help, metavar=self.cli.metavar, rich_help_panel=self.cli.panel, **settings
        )
        annotation = Annotated[kind if self.cli.off else kind | None, option]
        default = False if self.cli.off else None
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def values(self, given: Any) -> dict[str, Any]:
        """Return what the fields are set to, by their dotted names; empty when the option was not given."""
        if given is None or (self.cli.off and not given):
            return {}
        value = False if self.cli.off else str(given) if isinstance(given, Path) else given
        return dict.fromkeys(self.targets, value)


def options_of_config() -> dict[str, ConfigOption]:
    """Return the options of the configuration by their flags, in the order of its fields."""
    options: dict[str, ConfigOption] = {}
    for name, hint, default in _fields_of(Config):
        cli = next((one for one in get_args(hint)[1:] if isinstance(one, Cli)), None)
        if cli is not None:
            earlier = options[cli.flag].targets if cli.flag in options else ()
            options[cli.flag] = ConfigOption(cli, hint, default, (*earlier, name))
    return options


def config_options(*flags: str, file: bool = False) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the options of the configuration: `flags`, or all of them.

    The command takes one parameter `config`; the options take its place on the command line. With `file` there is
    an option `--config` too.
    """
    found = options_of_config()
    options = [found[flag] for flag in flags or found]

    def decorate(command: Command) -> Command:
        def run(**arguments: Any) -> None:
            given: dict[str, Any] = {}
            for option in options:
                given |= option.values(arguments.pop(option.name))
            path = arguments.pop("config_file") if file else None
            with exit_codes():
                config = build_config(path, given)
            command(**arguments, config=config)

        hints = get_type_hints(command, include_extras=True)
        own = [
            one.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            for name, one in inspect.signature(command).parameters.items()
            if name != "config"
        ]
        required = [one for one in own if one.default is inspect.Parameter.empty]
        parameters = [*required, *(option.parameter() for option in options), *own[len(required) :]]
        if file:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter("config_file", keyword, default=None, annotation=_ConfigFileOption))
        run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def build_config(file: Path | None, given: dict[str, Any]) -> Config:
    """Return the configuration of a preset, with a TOML file and then the options in place of its own.

    given: values by dotted names such as `clip.start`; without `preset` it is that of the file, else `balanced`.
    Raises InputError for a wrong file, BadParameter for a wrong option.
    """
    from closemesh.config.loading import override, read_toml
    from closemesh.config.schema import preset_config
    from closemesh.core.errors import InputError

    values = read_toml(file) if file else {}
    preset = str(given.get("preset") or values.get("preset", "balanced"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = override(preset_config(preset), {**values, "preset": preset})
        try:
            config = override(config, _nested(given))
        except InputError as error:
            raise typer.BadParameter(str(error)) from error
    for warning in caught:
        print_line(f"note: {warning.message}")
    return config


def _fields_of(config: type, table: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, type with metadata and default of every field, without those that are dataclasses themselves."""
    hints = get_type_hints(config, include_extras=True)
    for one in fields(config):
        if is_dataclass(hints[one.name]):
            yield from _fields_of(hints[one.name], f"{table}{one.name}.")
        else:
            yield table + one.name, hints[one.name], one.default


def _value_type(hint: Any) -> Any:
    """The type without metadata and without None."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    others = [one for one in get_args(hint) if one is not type(None)]
    return _value_type(others[0]) if len(others) == 1 and type(None) in get_args(hint) else hint


def _closed_bounds(hint: Any) -> dict[str, Any]:
    """The smallest and the largest value of a field as Typer's `min` and `max`; open bounds are checked later."""
    parts = [hint, *(one for one in get_args(hint) if get_origin(one) is Annotated)]
    intervals = [one for part in parts for one in get_args(part)[1:] if isinstance(one, Interval)]
    return {"min": intervals[0].ge, "max": intervals[0].le} if intervals else {}


def _usage_error(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` with Typer's error in place of ValueError."""

    def parse_option(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse_option


def _nested(dotted: dict[str, Any]) -> dict[str, Any]:
    """Tables in tables from dotted names."""
    nested: dict[str, Any] = {}
    for name, value in dotted.items():
        *tables, last = name.split(".")
        table = nested
        for one in tables:
            table = table.setdefault(one, {})
        table[last] = value
    return nested
