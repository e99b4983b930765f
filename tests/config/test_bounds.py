"""Any value of any numeric option is used, or refused in one line: on the command line, in a file, from Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from closemesh.cli.options import SeedOption, config_options, options_of_config
from closemesh.config.loading import load_config, override
from closemesh.config.schema import MAX_SEED, Config
from closemesh.core.errors import InputError

WORDS = [
    *("nan", "NaN", "inf", "-inf", "Infinity", "-1", "-0", "0", "1", "1e308", "-1e308", "1e999", "1e-320", "1e"),
    *(
        "",
        ",",
        " ",
        "0x10",
        "1_0",
        "\uff10",
        "\uff11\uff12",
        "²",
        "½",
        "1;2",
        "1,2",
        "a\nb",
        "\x1b[31m",
        "\udcff",
        "🕺",
    ),
    *(str(10**25), str(-(10**25)), "9" * 19, "9" * 5000, "0." + "9" * 400, str(2**63), str(2**63 - 1), str(2**31)),
    *("0-1", "1-0", "0-0", "0--1", "-", "0-1,", "0-1,1-0", "3,3", "3,", ",3", "-3,", "99999999999,"),
]


@config_options()
def show(config: Config, seed_alone: SeedOption = None) -> None:
    """Take every option of the configuration."""


COMMAND = typer.Typer()
COMMAND.command()(show)


def names_of_numbers(kind: Any = Config, table: str = "") -> Iterator[str]:
    for one in fields(kind):
        hint = get_type_hints(kind)[one.name]
        if is_dataclass(hint):
            yield from names_of_numbers(hint, f"{table}{one.name}.")
        elif {hint, *get_args(hint)} & {int, float}:
            yield table + one.name


NUMBERS = list(names_of_numbers())


def test_the_numbers_are_found() -> None:
    assert {"seed", "clip.fps", "observe.people", "optimise.appearance.num_gaussians"} <= set(NUMBERS)
    assert len(NUMBERS) == 23


def nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("flag", [flag for flag, option in options_of_config().items() if not option.cli.off])
def test_every_word_on_the_command_line(flag: str) -> None:
    if options_of_config()[flag].cli.is_path:
        return
    for word in WORDS:
        result = CliRunner().invoke(COMMAND, [f"{flag}={word}"])
        assert result.exit_code in {0, 2}, (flag, word, result.output)
        assert result.exception is None or isinstance(result.exception, SystemExit), (flag, word)
        assert "Traceback" not in result.output and "\x1b[31m" not in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fps", "inf"], "--fps"),
        (["--fps", "nan"], "--fps"),
        (["--fps", "1e9"], "1000"),
        (["--start", "nan"], "--start"),
        (["--seed", "9" * 20], str(MAX_SEED)),
        (["--people", ","], "0,3"),
        (["--people", "3,3"], "given twice"),
        (["--pairs", "0-1,1-0"], "given twice"),
        (["--focal", "1e300"], "initialise.focal"),
    ],
)
def test_the_refusal_names_the_option_and_its_bounds(arguments: list[str], words: str) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(COMMAND, arguments)
    assert result.exit_code == 2 and words in result.output


def random_values(seed: int) -> list[Any]:
    chance = random.Random(seed)
    drawn = [chance.choice((-1, 1)) * 10 ** chance.uniform(-320, 308) for _ in range(40)]
    integers = [chance.choice((-1, 1)) * chance.getrandbits(chance.randint(1, 400)) for _ in range(40)]
    special = [float("nan"), float("inf"), -float("inf"), 10**400, 10**5000, [], [1], {}, {"a": 1}, "", "1e", True]
    return [*drawn, *integers, *special]


@pytest.mark.parametrize("name", NUMBERS)
def test_random_values_from_python(name: str) -> None:
    for value in random_values(NUMBERS.index(name)):
        try:
            override(Config(), nested(name, value))
        except InputError as error:
            assert len(str(error)) < 300 and "\n" not in str(error)


@pytest.mark.parametrize(
    "content",
    [
        "seed = " + "9" * 5000,
        "seed = [1]",
        "seed = 1979-05-27",
        "clip.fps = nan",
        "clip.fps = inf",
        "[clip]\nfps = -inf",
        "[[clip]]\nfps = 3",
        "clip = 3",
        'preset = ["fast"]',
        "[wrong]\na = 1",
        '["wrong\\nname"]\na = 1',
        '[clip]\n"wrong\\u001b" = 1',
        "a." * 3000 + "a = 1",
        "a = " + "[" * 3000 + "]" * 3000,
        "x = 1\n" * 300_000,
        "\x00",
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_wrong_files_are_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(content)
    with pytest.raises(InputError) as raised:
        load_config(file)
    assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < 400 + len(str(file))


def test_a_folder_or_a_device_is_no_configuration(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match=f"{path} is no regular file"):
            load_config(path)
