"""Files of other programs: JSON without surprises, values of the documented type, one line for everything else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closemesh.config.loading import read_toml
from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.core.foreign import (
    expect_list,
    expect_mapping,
    expect_number,
    expect_text,
    expect_whole_number,
    foreign_file,
    foreign_reader,
    parse_json,
    parse_number,
    read_json_file,
    short_reason,
)
from closemesh.core.records import read_json
from closemesh.video import open_clip

FILE = Path("a.json")


@pytest.mark.parametrize("text", ["[" * 100_000, "NaN", "[-Infinity]", "1e999", "9" * 5000, '{"a": }', "", "\x00"])
def test_text_that_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + b'{"a": [1, 2.5, null]}')
    assert read_json_file(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    with pytest.raises(InputError, match=r"b\.json: no such file"):
        read_json_file(tmp_path / "b.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"a\.json is not as documented"):
        read_json_file(tmp_path / "a.json")


@pytest.mark.parametrize("value", [np.nan, np.inf, 10**400, "1", None, True, [], {}, np.zeros(3), np.array("x")])
def test_what_is_no_number_is_refused(value: Any) -> None:
    for expect in (expect_number, expect_whole_number):
        with pytest.raises(InputError, match=r"a\.json: fps"):
            expect(FILE, "fps", value)


def test_numbers_have_bounds() -> None:
    assert expect_number(FILE, "fps", np.array([30.0]), 0, 1e4) == 30
    assert expect_whole_number(FILE, "frame", np.int64(3), 0, 9) == 3
    for value in (-1, 10001, 10**400):
        with pytest.raises(InputError, match="from 0 to 10000"):
            expect_number(FILE, "fps", value, 0, 1e4)
    with pytest.raises(InputError, match="whole"):
        expect_whole_number(FILE, "frame", 1.5)


def test_other_types() -> None:
    assert expect_text(FILE, "gender", np.array(b"female")) == "female"
    assert expect_list(FILE, "people", (1, 2)) == [1, 2]
    assert expect_mapping(FILE, "person", {"a": 1}) == {"a": 1}
    for expect, value in ((expect_text, 3), (expect_list, "abc"), (expect_mapping, [])):
        with pytest.raises(InputError, match=r"a\.json: name is"):
            expect(FILE, "name", value)


@pytest.mark.parametrize("error", [KeyError("time"), IndexError(), RecursionError("deep"), MemoryError(), OSError("x")])
def test_whatever_goes_wrong_is_one_line_with_the_file(error: Exception) -> None:
    with pytest.raises(InputError, match=r"^a\.json ") as caught, foreign_file(FILE):
        raise error
    assert "\n" not in str(caught.value)


def test_a_reader_names_its_file(tmp_path: Path) -> None:
    @foreign_reader
    def read(path: Path, key: str) -> float:
        return {"a": 1.0}[key]

    assert read(FILE, "a") == 1
    with pytest.raises(InputError, match=r"^a\.json is not as documented \(no 'b'\)"):
        read(FILE, "b")


def test_an_error_is_one_line_of_limited_length() -> None:
    assert str(InputError("a\n\tb\x1b[31m\u2028c")) == r"a\n\tb\x1b[31m\u2028c", "a name of a file stays that name"
    assert short_reason(ValueError("line 1\n  of \x1b2")) == r"line 1 of \x1b2"
    text = str(InputError(f"a.json: {'x' * 100_000}; correct it"))
    assert len(text) < 1000 and text.startswith("a.json: x") and text.endswith("x; correct it")


def test_words_that_are_no_finite_number() -> None:
    assert parse_number("-1.5e3") == -1500
    for word in ("nan", "-inf", "1e999", "x", ""):
        with pytest.raises(ValueError):
            parse_number(word)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
def test_pipes_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for read in (
        read_json_file,
        read_toml,
        lambda path: read_json(path, 1),
        lambda path: open_clip(path, ClipConfig()),
    ):
        with pytest.raises(InputError, match=r"pipe\.json is no regular file"):
            read(tmp_path / "pipe.json")


def test_clear_errors_pass() -> None:
    with pytest.raises(InputError, match=r"^as it is$"), foreign_file(FILE):
        raise InputError("as it is")
