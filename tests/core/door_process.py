"""Hostile files are read in a process of its own: a crash is its return code, and its memory is limited."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ACCEPTED = "accepted"
_SCRIPT = """
import importlib, json, resource, sys
from pathlib import Path
from closemesh.core.errors import ClosemeshError
from closemesh.core import arrays, records, unpickling

limit = 4 << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
module, name = sys.argv[1].split(":")
door = getattr(importlib.import_module(module), name)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answers = {}
for path in sorted(Path(sys.argv[2]).iterdir()):
    try:
        door(path)
        answers[path.name] = "accepted"
    except ClosemeshError as error:
        answers[path.name] = str(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([answers, grown]))
"""
_MOST_GROWTH = 1 << 20  # KB.


def read_in_process(folder: Path, files: Mapping[str, bytes], door: str) -> dict[str, str]:
    """What `door`, `module:function` of a path, answers for each file: ACCEPTED or the error line."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    command = [sys.executable, "-W", "error", "-c", _SCRIPT, door, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{done.returncode} {done.stderr[-2000:]}"
    answers, grown = json.loads(done.stdout)
    assert grown < _MOST_GROWTH
    for name, answer in answers.items():
        assert answer == ACCEPTED or ("\n" not in answer and name in answer)
    assert set(answers) >= set(files)
    return answers
