"""Nothing imports up, foreign packages stay behind one door, nothing below the command line prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "closemesh"

# Floor by floor, the lowest first. A package may import from lower floors and from itself, never from its own floor.
FLOORS = (
    {"errors", "memory", "progress"},
    {"device", "files", "scene", "config", "pickles"},
    {"records", "config_file"},
    {"geometry", "video"},
    {"weights"},
    {"networks"},
    {"body"},
    {"contact"},
    {"energy"},
    {"language"},
    {"appearance"},
    {"fitting"},
    {"observe", "initialise", "proxemics", "output", "motion_data"},
    {"interactions", "simulation", "other_tools"},
    {"optimise"},
    {"store", "export", "kept", "provenance"},
    {"run"},
    {"pipeline"},
    {"evaluation"},
    {"training"},
    {"cli"},
)
# Narrower than their floor: what each of these may import from closemesh.
ONLY_FROM = {
    "weights": {"errors", "progress", "files"},
    "motion_data": {"errors", "progress", "files", "scene", "pickles", "records", "geometry", "body", "contact"},
    "language": {
        "errors",
        "progress",
        "files",
        "scene",
        "config",
        "video",
        "weights",
        "networks",
        "geometry",
        "body",
        "energy",
    },
    "appearance": {"errors", "device", "progress", "scene", "geometry", "body", "contact", "energy"},
    "output": {"errors", "progress", "files", "scene", "config", "records", "geometry", "body", "contact"},
}
ONE_DOOR = {"ultralytics": "observe", "smplx": "body", "gsplat": "appearance"}
TOP_MODULES = {"__init__", "__main__"}


def floor_of(package: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if package in floor)


def package_of(file: Path) -> str:
    return file.relative_to(SOURCE).with_suffix("").parts[0]


def source_files() -> list[Path]:
    return [file for file in sorted(SOURCE.rglob("*.py")) if package_of(file) not in TOP_MODULES]


def imported_modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from names if node.module == "closemesh" else (node.module,)


def closemesh_imports(file: Path) -> set[str]:
    modules = (name.split(".") for name in imported_modules(ast.parse(file.read_text())))
    return {parts[1] for parts in modules if parts[0] == "closemesh" and parts[1] != "__version__"}


def test_every_package_has_a_floor() -> None:
    here = {package_of(file) for file in source_files()}
    assert here <= set().union(*FLOORS), "a new package needs its place in FLOORS"


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file: Path) -> None:
    package = package_of(file)
    others = closemesh_imports(file) - {package}
    up = {other for other in others if floor_of(other) >= floor_of(package)}
    assert not up, f"{package} may not import {up}"
    assert others <= ONLY_FROM.get(package, others), f"{package} may import only {ONLY_FROM[package]}"


@pytest.mark.parametrize("foreign", ONE_DOOR)
def test_foreign_packages_stay_behind_one_door(foreign: str) -> None:
    importers = []
    for file in source_files():
        tree = ast.parse(file.read_text())
        if any(name.split(".")[0] == foreign for name in imported_modules(tree)):
            importers.append(file)
            at_the_top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
            assert not any(name.split(".")[0] == foreign for name in imported_modules(at_the_top)), "import it lazily"
    assert len(importers) <= 1
    assert {package_of(file) for file in importers} <= {ONE_DOOR[foreign]}


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_nothing_below_the_command_line_prints(file: Path) -> None:
    if package_of(file) == "cli":
        return
    tree = ast.parse(file.read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [f for f in calls if isinstance(f, ast.Name) and f.id in {"print", "input"}]
    assert not [
        name for name in imported_modules(ast.parse(file.read_text())) if name.split(".")[0] in {"rich", "typer"}
    ]


def test_the_test_sees_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from closemesh.cli.main import app\n    import closemesh.pipeline\n")
    assert closemesh_imports(wrong) == {"cli", "pipeline"}
