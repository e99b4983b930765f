"""The tables of the benchmarks show the values that were measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.theme import Theme
from typer.testing import CliRunner

from closemesh.cli.benchmark_tables import change_tables, report_tables
from closemesh.cli.main import app
from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.lab.evaluation import dataset_benchmark
from closemesh.lab.evaluation.benchmark_run import WindowResult
from closemesh.lab.evaluation.dataset_benchmark import COLUMNS, DatasetResult, ItemResult
from closemesh.lab.evaluation.dataset_items import PUBLISHED
from closemesh.lab.evaluation.report import BenchmarkReport, differences


def text_of(renderable) -> str:
    console = Console(width=200, theme=Theme({"good": "green", "bad": "red", "quiet": "dim", "title": "bold"}))
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def window(name: str, kind: str, error: float) -> WindowResult:
    def groups(value: float) -> dict:
        return {"all": {"MPJPE": {"mean": value, "n": 10}}, "occluded": {}, "contact": {}}

    truth = {"all": {"A-PD": {"mean": 0.25, "n": 10}}, "occluded": {}, "contact": {}}
    return WindowResult(
        name, kind, 64, 2, 128, 120, {"initial": groups(error + 5), "optimised": groups(error)}, truth, {}
    )


REPORT = BenchmarkReport("abc", 0, "fast", "pixels", (window("a", "hug", 40), window("b", "lift", 60)))


def test_the_report_has_stages_groups_and_kinds() -> None:
    text = text_of(report_tables(REPORT))
    row = next(line for line in text.splitlines() if "MPJPE ↓" in line)
    assert [word for word in row.replace("│", " ").split() if word[0].isdigit()] == ["55.0", "50.0"]
    assert "0.25" in next(line for line in text.splitlines() if "A-PD ↓" in line)
    assert "40.0" in next(line for line in text.splitlines() if "hug" in line)
    assert "128 frames, from pixels" in text
    assert "240 of 256 people" in text
    assert "the focal length was given" in text
    estimated = replace(REPORT, focal="estimated", windows=tuple(replace(w, focal_error=12.0) for w in REPORT.windows))
    text = text_of(report_tables(estimated))
    assert "Synthetic benchmark, estimated focal length: all" in text
    assert "the focal length was estimated with a median error of 12 %" in text


def test_changes_are_called_better_or_worse_only_beyond_chance() -> None:
    down = replace(REPORT, windows=(window("a", "hug", 38), window("b", "lift", 58.5)))
    mixed = replace(REPORT, windows=(window("a", "hug", 38), window("b", "lift", 63)))
    assert text_of(change_tables(differences(REPORT, down))).count("better") == 2
    assert text_of(change_tables(differences(down, REPORT))).count("worse") == 2
    text = text_of(change_tables(differences(REPORT, mixed)))
    assert "better" not in text
    assert "worse" not in text


PARTS = {
    "keypoints": (
        *({"initialise.lifter": False}, {"refine.prior": False}, {"refine.cross_attention": False}),
        *({"refine.projection_condition": False}, {"refine.codebook": False}, {"refine.physics": False}),
        *({"optimise.physics": False}, {"optimise.motion": "network"}),
    ),
    "pixels": (
        {"optimise.appearance.enabled": False},
        {"refine.prior": False},
        {"refine.physics": False, "optimise.physics": False},
        {"optimise.appearance.silhouette_alignment": True},
        {"optimise.appearance.joint": True},
    ),
}


@pytest.mark.parametrize("source", PARTS)
def test_an_ablation_leaves_each_part_out_once(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, usual = [], _flat(to_dict(Config()))

    def measured(one, configs, source, focal, device) -> tuple[WindowResult, ...]:
        assert focal == "estimated"
        flat = [_flat(to_dict(config)) for config in configs]
        seen.append([{name: value for name, value in values.items() if usual[name] != value} for values in flat])
        return tuple(window(one.name, one.kind, 45 if changed else 40) for changed in seen[-1])

    monkeypatch.setattr("closemesh.lab.evaluation.ablation.run_configs", measured)
    file = tmp_path / "ablation.json"
    arguments = ["benchmark", "ablation", "--quick", "--jobs", "1", "--from", source, "--json", str(file)]
    done = CliRunner(env={"COLUMNS": "250"}).invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert all(changed == [{}, *PARTS[source]] for changed in seen)
    assert ("in the paper" in done.output) == (source == "pixels")
    change = json.loads(file.read_text())["with_minus_without"]["interaction prior"]["optimised"]["all"]["MPJPE"]
    assert (change["old"], change["new"]) == (45, 40)


def _flat(values: dict[str, Any], before: str = "") -> dict[str, object]:
    """Nested values by their dotted names."""
    flat: dict[str, object] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def test_a_data_set_stands_beside_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(name, root, config, device, progress, limit) -> DatasetResult:
        assert (root, limit, config.preset) == (tmp_path, 3, "fast")
        items = (ItemResult("a", 0.5, {}),)
        return DatasetResult(name, COLUMNS[name], {"initial": {"MPJPE": 71.23}}, PUBLISHED[name], items, 0.5, ("so",))

    monkeypatch.setattr(dataset_benchmark, "benchmark_dataset", measured)
    arguments = ["--root", str(tmp_path), "--limit", "3", "--preset", "fast", "--json", str(tmp_path / "figures.json")]
    result = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["benchmark", "3dpw", *arguments])
    assert result.exit_code == 0, result.output
    assert "71.2" in next(line for line in result.output.splitlines() if "closemesh, initial" in line)
    assert "CloseInt" in result.output
    assert "50.0 % of the people" in result.output
    assert json.loads((tmp_path / "figures.json").read_text())["ours"] == {"initial": {"MPJPE": 71.23}}
