"""Configurations from TOML and from nested values; old names; errors for values that are not allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from closemesh.config.loading import RENAMED_OPTIONS, dump_config, load_config, override, rename_old_options, to_dict
from closemesh.config.schema import PRESETS, ClipConfig, Config, ObserveConfig, OptimiseConfig, preset_config
from closemesh.core.errors import InputError


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_survives_toml(preset: str, tmp_path: Path) -> None:
    file = tmp_path / "closemesh.toml"
    file.write_text(dump_config(preset_config(preset)))
    assert load_config(file) == preset_config(preset)


def test_tuples_survive_toml(tmp_path: Path) -> None:
    config = Config(
        seed=7,
        body_model="SMPLX.npz",
        clip=ClipConfig(start=1.5, end=3),
        observe=ObserveConfig(people=(0, 3)),
        optimise=OptimiseConfig(pairs=((0, 3), (3, 4))),
    )
    file = tmp_path / "closemesh.toml"
    file.write_text(dump_config(config))
    assert load_config(file) == config


def test_a_file_lies_over_the_preset_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "closemesh.toml"
    file.write_text('preset = "fast"\n[clip]\nend = 2\n')
    config = load_config(file)
    assert config.clip.end == 2
    assert config.optimise == preset_config("fast").optimise


def test_one_person_or_a_list_of_tracks() -> None:
    assert override(Config(), {"observe": {"people": 2}}).observe.people == 2
    assert override(Config(), {"observe": {"people": [3]}}).observe.people == (3,)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"optimise": {"iterations": "many"}}, "optimise.iterations"),
        ({"optimise": {"iteration": 3}}, "unknown option 'optimise.iteration'"),
        ({"speed": 1}, "unknown option 'speed'"),
        ({"observe": {"people": 0}}, "observe.people"),
        ({"observe": {"detector": "eyes"}}, "'auto', 'mediapipe', 'yolo' or 'rtmw'"),
        ({"clip": {"fps": 0}}, "clip.fps"),
        ({"clip": {"fps": float("nan")}}, "clip.fps"),
        ({"clip": {"start": 3, "end": 2}}, "later end"),
        ({"clip": 3}, "option clip"),
        ({"initialise": {"focal": -1.0}}, "initialise.focal"),
        ({"initialise": {"window": 16, "overlap": 16}}, "overlap"),
        ({"optimise": {"pairs": [[1, 1]]}}, "two different people"),
        ({"optimise": {"pairs": [[1]]}}, "optimise.pairs"),
        ({"preset": "quick"}, "'fast', 'balanced' or 'best'"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(values: dict, expected: str) -> None:
    with pytest.raises(InputError) as error:
        override(Config(), values)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"preset = ", b"\xff\xfe\x00", b'preset = "quick"', b"preset = 3"])
def test_a_broken_file_is_an_input_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "closemesh.toml"
    file.write_bytes(content)
    with pytest.raises(InputError):
        load_config(file)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml"):
        load_config(tmp_path / "nothing.toml")


def test_old_option_names_work_and_one_warning_names_the_new_ones(tmp_path: Path) -> None:
    file = tmp_path / "closemesh.toml"
    file.write_text(
        "[refine]\npartner = false\nguidance = 3\nstatements = false\n[language]\nalignment = false\n"
        "[optimise]\nphysics = false\n[optimise.appearance]\nuse = false\n"
    )
    with pytest.warns(FutureWarning) as caught:
        config = load_config(file)
    assert (config.refine.cross_attention, config.refine.guidance_steps) == (False, 3)
    assert (config.language.statements, config.language.alignment) == (False, False)
    assert (config.optimise.physics, config.optimise.appearance.enabled) == (False, False)
    assert len(caught) == 1
    for old in ("refine.partner", "refine.guidance", "refine.statements", "optimise.appearance.use"):
        assert f"{old} is now {RENAMED_OPTIONS[old]}" in str(caught[0].message)


@pytest.mark.parametrize("old", RENAMED_OPTIONS)
def test_every_old_name_leads_to_an_option(old: str) -> None:
    current = RENAMED_OPTIONS[old]
    value: object = to_dict(Config())
    for name in current.split("."):
        assert isinstance(value, dict)
        value = value[name]
    values = {}
    *tables, name = old.split(".")
    table = values
    for one in tables:
        table = table.setdefault(one, {})
    table[name] = value
    with pytest.warns(FutureWarning, match=current):
        assert override(Config(), values) == Config()
    assert rename_old_options(values)[1] == [old] and table == {name: value}, "the values given are not changed"


def test_an_option_under_both_names_is_an_error() -> None:
    with pytest.raises(InputError, match=r"remove refine\.partner"):
        override(Config(), {"refine": {"partner": True, "cross_attention": False}})


def test_the_tracker_own_is_the_tracker_by_keypoints() -> None:
    with pytest.warns(FutureWarning, match='observe.tracker = "own" is now observe.tracker = "keypoints"') as caught:
        assert override(Config(), {"observe": {"tracker": "own"}, "refine": {"partner": True}}) == Config()
    assert len(caught) == 1 and "refine.partner is now refine.cross_attention" in str(caught[0].message)
