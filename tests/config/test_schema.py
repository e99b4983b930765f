"""Presets, the text forms of options, and what pydantic makes of the fields."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from closemesh.config.schema import PRESETS, ClipConfig, parse_pairs, parse_people, preset_config
from closemesh.core.errors import InputError


def test_presets_take_more_and_more_steps() -> None:
    configs = [preset_config(preset) for preset in PRESETS]
    first = [config.initialise.iterations for config in configs]
    assert first == sorted(set(first))
    together = [(c.refine.guidance_steps, c.optimise.iterations) for c in configs]
    assert together == sorted(set(together))


def test_an_unknown_preset_is_an_error() -> None:
    with pytest.raises(InputError, match="choose one of fast, balanced, best"):
        preset_config("quick")


def test_people_and_pairs_as_text() -> None:
    assert (parse_people("2"), parse_people("0,3"), parse_people("3,")) == (2, (0, 3), (3,))
    assert parse_pairs("0-1,1-2") == ((0, 1), (1, 2))
    for parse, text in ((parse_people, "two"), (parse_people, "0,b"), (parse_pairs, "0+1"), (parse_pairs, "0-1-2")):
        with pytest.raises(ValueError, match="such as"):
            parse(text)


def test_metadata_of_command_line_options_do_not_change_what_a_value_may_be() -> None:
    adapter = TypeAdapter(ClipConfig)
    assert adapter.validate_python({"start": 1, "fps": 10}) == ClipConfig(start=1.0, fps=10.0)
    for wrong in ({"start": -1}, {"end": 0}, {"fps": 0}, {"start": "soon"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
    assert "flag" not in str(adapter.json_schema())
