"""Sizes and shapes of the code: files, parameters, helpers with one caller."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "closemesh"
MOST_LINES = 350
MOST_PARAMETERS = 8
MODULES = range(220, 341)
MOST_PRIVATE_MODULES = 31
"""Modules whose only importer is in the same package: each might as well be a part of it."""
FORMATS = SOURCE / "interchange"
"""One module per file format, all of them imported by the table of formats alone."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_files() -> list[Path]:
    return [file for file in sorted(SOURCE.rglob("*.py")) if file.name != "__init__.py"]


def module_of(file: Path) -> str:
    return ".".join(("closemesh", *file.relative_to(SOURCE).with_suffix("").parts))


def imported_by(file: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Functions of the module and methods of its classes whose names have no leading underscore."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for member in node.body:
                if isinstance(member, Function) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", member


def number_of_parameters(function: Function) -> int:
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def splatted_tuples(tree: ast.AST) -> Iterator[int]:
    """Lines of calls that spread a tuple made for the purpose: `f(*(a, b))`, or `given = a, b` and `f(*given)`."""
    for function in (node for node in ast.walk(tree) if isinstance(node, Function)):
        tuples = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            for argument in call.args:
                value = argument.value if isinstance(argument, ast.Starred) else None
                if isinstance(value, ast.Tuple) or (isinstance(value, ast.Name) and value.id in tuples):
                    yield argument.lineno


def test_number_of_modules() -> None:
    assert len(source_files()) in MODULES


@pytest.mark.parametrize("file", source_files(), ids=module_of)
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", source_files(), ids=module_of)
def test_functions_take_few_parameters(file: Path) -> None:
    if SOURCE / "cli" not in file.parents:
        functions = public_functions(ast.parse(file.read_text()))
        assert not [name for name, one in functions if number_of_parameters(one) > MOST_PARAMETERS]


@pytest.mark.parametrize("file", source_files(), ids=module_of)
def test_no_tuples_of_arguments_are_splatted(file: Path) -> None:
    assert not list(splatted_tuples(ast.parse(file.read_text())))


def test_few_modules_have_a_single_importer_beside_them() -> None:
    importers = defaultdict(set)
    modules = {module_of(file): file for file in source_files()}
    for file in SOURCE.rglob("*.py"):
        for name in imported_by(file) & set(modules) - {module_of(file)}:
            importers[name].add(file)
    private = [
        name
        for name, files in importers.items()
        if len(files) == 1 and next(iter(files)).parent == modules[name].parent != FORMATS
    ]
    assert len(private) <= MOST_PRIVATE_MODULES, sorted(private)


def test_splatted_tuples_are_found() -> None:
    wrong = "def f(a, b):\n    given = a, b\n    f(*given)\n    f(*(a, b))\n    f(*a)\n"
    assert list(splatted_tuples(ast.parse(wrong))) == [3, 4]


def test_names_of_test_files_are_unique() -> None:
    """pytest imports test files by their names alone: two of one name stop the whole run."""
    names = Counter(file.name for file in Path(__file__).parent.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]
