"""`closemesh export --to`: folders, replacement, foreign files and unknown formats."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.core.errors import InputError, OutputError
from closemesh.interchange.export import FORMATS, ExportOptions, export_result


def export(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", *map(str, arguments)])


def assert_fails(ended: Result, message: str) -> None:
    assert ended.exit_code == 1
    assert message in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


def test_all_formats_are_written_below_the_result(finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    written = export_result(out, list(FORMATS))
    assert all(path.exists() for path in written)
    assert {path.relative_to(out).parts[:2] for path in written} == {("exported", name) for name in FORMATS}
    assert (out / "exported" / "bvh" / "person_01.bvh") in written
    assert (out / "exported" / "glb" / "scene.glb").read_bytes() == (out / "meshes" / "scene.glb").read_bytes()


def test_the_command_names_the_files_and_replaces_only_its_own(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    for _ in range(2):
        ended = export(finished, "--to", "bvh, csv", "-o", target, "--up", "z")
        assert ended.exit_code == 0, ended.output
    assert ended.stdout.split() == [
        str(target / name) for name in ("person_00.bvh", "person_01.bvh", "joints.csv", "contacts.csv")
    ]
    (target / "joints.csv").write_text("mine")
    assert_fails(
        export(finished, "--to", "camera,csv", "-o", target), "joints.csv was changed after closemesh wrote it"
    )
    assert (target / "joints.csv").read_text() == "mine" and not (target / "camera.json").exists()


def test_files_of_people_who_are_gone_are_removed(finished: Path, tmp_path: Path) -> None:
    export_result(finished, ["bvh"], tmp_path)
    third = tmp_path / "person_02.bvh"
    shutil.copy(tmp_path / "person_01.bvh", third)
    marker = tmp_path / ".closemesh"
    [line] = [one for one in marker.read_text().splitlines() if one.endswith("person_01.bvh")]
    marker.write_text(f"{marker.read_text()}{line.replace('person_01', 'person_02')}\n")
    export_result(finished, ["bvh"], tmp_path)
    assert not third.exists() and (tmp_path / "person_01.bvh").exists()


def test_a_foreign_file_stays(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "person_00.bvh").write_text("foreign")
    with pytest.raises(OutputError, match="not written by closemesh"):
        export_result(finished, ["bvh"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["person_00.bvh"]


def test_wrong_options_in_one_line(finished: Path, tmp_path: Path) -> None:
    assert_fails(export(finished, "--to", "bvh,fbx"), "'fbx' is unknown; the formats are bvh, glb, usd, smplx")
    assert_fails(export(finished), "give either --to")
    assert_fails(export(finished, "--to", "bvh", "--body-model", "SMPLX_NEUTRAL.npz"), "give either --to")
    assert_fails(export(finished, "--body-model", "SMPLX_NEUTRAL.npz", "--up", "z"), "--up turns the files of --to")
    assert_fails(export(tmp_path, "--to", "bvh"), "no finished result")
    with pytest.raises(InputError, match="no format is given"):
        export_result(finished, [])
    with pytest.raises(InputError, match="give y or z"):
        export_result(finished, ["bvh"], options=ExportOptions(up="x"))  # type: ignore[arg-type]


def test_the_help_names_all_formats() -> None:
    assert f"{', '.join(FORMATS)}." in export("--help").stdout
