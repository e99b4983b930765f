"""Public docstrings give the shape of every tensor and name every exception.

`python tests/test_docstrings.py SEED` prints 40 public functions, drawn at random, to be read by a person.
"""

from __future__ import annotations

import ast
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_conventions import SOURCE, Function, module_of, public_functions, source_files

ARRAY = re.compile(r"\b(Tensor|Floats|Bools|NDArray|np\.ndarray)\b")
SHAPE = re.compile(r"\[[^\]\n]*\]")
NOT_REPORTED = {"AssertionError", "AttributeError", "NotImplementedError", "BadParameter", "Exit", "StopIteration"}


def documented_files() -> list[Path]:
    return [file for file in source_files() if SOURCE / "cli" not in file.parents]


def signature(function: Function, lines: list[str]) -> str:
    return "\n".join(lines[function.lineno - 1 : function.body[0].lineno - 1])


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """Nodes of the function's body, without those of functions in it."""
    queue = list(function.body)
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            queue += ast.iter_child_nodes(node)


def raised(function: Function) -> set[str]:
    """Names of the exceptions that the function itself raises."""
    names = set()
    for node in own_nodes(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(what).split(".")[-1]
            if name[:1].isupper() and name not in NOT_REPORTED:
                names.add(name)
    return names


def faults_of(function: Function, lines: list[str]) -> list[str]:
    text, head = ast.get_docstring(function) or "", signature(function, lines)
    if not text:
        return ["no docstring"] if not is_trivial(function) else []
    faults = []
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    for one in arguments:
        if one.annotation is not None and is_array(one.annotation):
            in_text = re.search(rf"\b{one.arg}\b[^.]*?\[", text, re.DOTALL)
            in_head = re.search(rf"\b{one.arg}:[^\n]*#[^\n]*\[", head)
            if not (in_text or in_head):
                faults.append(f"no shape of {one.arg}")
    if function.returns is not None and is_array(function.returns):
        if not (SHAPE.search(text) or re.search(r"->[^\n]*#[^\n]*\[", head)):
            faults.append("no shape of the result")
    return faults + [f"{name} is not named" for name in sorted(raised(function)) if name not in text]


def is_array(annotation: ast.expr) -> bool:
    """Whether the annotation is an array, a tuple of arrays or an optional one; records explain themselves."""
    text = ast.unparse(annotation)
    return bool(ARRAY.search(text)) and "Callable" not in text and "Mapping" not in text


def is_trivial(function: Function) -> bool:
    return len(function.body) == 1 and isinstance(function.body[0], ast.Return | ast.Expr)


@pytest.mark.parametrize("file", documented_files(), ids=module_of)
def test_docstrings_give_shapes_and_exceptions(file: Path) -> None:
    source = file.read_text()
    lines = source.splitlines()
    faults = {name: faults_of(one, lines) for name, one in public_functions(ast.parse(source))}
    assert not {name: found for name, found in faults.items() if found}


def test_faults_are_found() -> None:
    source = (
        "def f(a: Tensor, b: Floats) -> Tensor:\n"
        '    """a [T, 3] of something."""\n'
        "    if a:\n"
        "        raise InputError('no')\n"
        "    return a\n"
    )
    [(_, function)] = public_functions(ast.parse(source))
    assert faults_of(function, source.splitlines()) == ["no shape of b", "InputError is not named"]


def draw(seed: int, count: int = 40) -> Iterator[tuple[str, Function]]:
    """Public functions with their module, drawn at random."""
    functions = [
        (f"{module_of(file)}.{name}", one)
        for file in documented_files()
        for name, one in public_functions(ast.parse(file.read_text()))
    ]
    yield from random.Random(seed).sample(functions, count)


if __name__ == "__main__":
    for drawn, function in draw(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(f"{drawn}({ast.unparse(function.args)})\n    {ast.get_docstring(function)}\n")
