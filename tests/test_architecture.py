"""Nothing imports up, foreign packages stay behind one door, nothing below the command line prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "closemesh"

# Floor by floor, the lowest first. A package may import from lower floors and from itself, never from its own floor.
FLOORS = (
    {"core"},
    {"config", "structures", "temporal", "geometry"},
    {"video", "weights", "networks"},
    {"body"},
    {"contact"},
    {"losses", "rendering"},
    {"text", "avatars", "motion_files"},
    {"fitting", "repair"},
    {"perception", "initialization", "interaction_prior"},
    {"importers", "optimization"},
    {"output"},
    {"report"},
    {"pipeline"},
    {"body_transfer", "interchange"},
    {"results"},
    {"lab.datasets"},
    {"lab.simulation", "lab.synthesis"},
    {"lab.evaluation", "lab.training"},
    {"cli"},
)
DOORS = {
    "smplx": "body/loading.py",
    "gsplat": "avatars/splatting/rasterize.py",
    "ultralytics": "perception/detectors/ultralytics_backend.py",
    "trimesh": "output/write.py",
}
"""Foreign package -> the only file that imports it, inside a function."""
FILE_READERS: dict[str, set[str]] = {
    "np.load": set(),
    "torch.load": set(),
    "pickle.load": set(),
    "pickle.loads": set(),
    "pickle.Unpickler": set(),
}
"""Call that may unpickle -> the only files with it; pickled objects are read through core/unpickling.py."""
TOP_MODULES = {"__init__", "__main__"}


def floor_of(package: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if package in floor)


def package_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == "lab" and len(parts) > 2 else parts[0]


def source_files() -> list[Path]:
    files = (file for file in sorted(SOURCE.rglob("*.py")) if file != SOURCE / "lab" / "__init__.py")
    return [file for file in files if package_of(file) not in TOP_MODULES]


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
    own = (parts[1:] for parts in modules if parts[0] == "closemesh" and parts[1] != "__version__")
    return {".".join(parts[:2]) if parts[0] == "lab" else parts[0] for parts in own}


def test_every_package_has_a_floor() -> None:
    here = {package_of(file) for file in source_files()}
    assert here <= set().union(*FLOORS), "a new package needs its place in FLOORS"


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file: Path) -> None:
    package = package_of(file)
    others = closemesh_imports(file) - {package}
    up = {other for other in others if floor_of(other) >= floor_of(package)}
    assert not up, f"{package} may not import {up}"


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(SOURCE)))
def test_the_product_does_not_import_the_lab(file: Path) -> None:
    if package_of(file) != "cli" and not package_of(file).startswith("lab."):
        assert not [name for name in closemesh_imports(file) if name.startswith("lab")]


@pytest.mark.parametrize("foreign", DOORS)
def test_foreign_packages_stay_behind_one_door(foreign: str) -> None:
    importers = []
    for file in source_files():
        tree = ast.parse(file.read_text())
        if any(name.split(".")[0] == foreign for name in imported_modules(tree)):
            importers.append(str(file.relative_to(SOURCE)))
            at_the_top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
            assert not any(name.split(".")[0] == foreign for name in imported_modules(at_the_top)), "import it lazily"
    assert importers == [DOORS[foreign]]


@pytest.mark.parametrize("call", FILE_READERS)
def test_calls_that_may_unpickle_stay_behind_one_door(call: str) -> None:
    found = set()
    for file in source_files():
        nodes = ast.walk(ast.parse(file.read_text()))
        if any(isinstance(node, ast.Attribute) and ast.unparse(node) == call for node in nodes):
            found.add(file.relative_to(SOURCE).as_posix())
    assert found == FILE_READERS[call]


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
    wrong.write_text("def f():\n    from closemesh.cli.main import app\n    import closemesh.pipeline.reconstruct\n")
    assert closemesh_imports(wrong) == {"cli", "pipeline"}
