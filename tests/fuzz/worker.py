"""The process that reads damaged files: it announces each before it reads it, and answers with a verdict."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import Any, TextIO

from .formats import damaged
from .targets import TARGETS, Target
from .verdicts import Verdict, judge_error, judge_value

MEMORY = 1 << 30
"""Bytes that a reader may use beside what the process has."""


class Bench:
    """One reader with a valid file of its own in a folder."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        folder.mkdir(parents=True)
        self.path = target.write(folder)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        self._valid = {file: file.read_bytes() for file in files}
        if target.suffixes:
            self._chosen = [file for file in files if file.suffix in target.suffixes]
        else:
            self._chosen = files
        self._changed: Path | None = None
        verdict = judge_value(target.read(self.path), target.may_be_nan, target.ranges)
        assert not verdict.is_fault, f"{target.name}: the valid file is refused: {verdict}"

    def damage(self, random: Random) -> None:
        """Damages one of the valid files; the one before is valid again."""
        if self._changed is not None:
            self._changed.write_bytes(self._valid[self._changed])
        self._changed = file = random.choice(self._chosen)
        file.write_bytes(damaged(file, self._valid[file], random))

    def read(self) -> Verdict:
        """Reads the files as they are."""
        try:
            value = self.target.read(self.path)
        except Exception as error:
            return judge_error(error, self.folder, self.target.names_file)
        return judge_value(value, self.target.may_be_nan, self.target.ranges)


def run(bench: Bench, seed: int, number: int, errors: Path) -> Verdict:
    """The verdict on one damaged file; text on the error stream is a fault of its own."""
    bench.damage(Random(f"{seed} {bench.target.name} {number}"))
    before = errors.stat().st_size
    verdict = bench.read()
    sys.stderr.flush()
    if not verdict.is_fault and not bench.target.may_print and errors.stat().st_size > before:
        with errors.open("rb") as file:
            file.seek(before)
            text = file.read(2000).decode("utf-8", "replace")
        return Verdict(f"printed {_first_words(text)}", text)
    return verdict


def _first_words(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    return re.sub(r"[\d.]+", "0", " ".join(line.split("closemesh/")[-1].split()[:8]))


def limit_memory() -> None:
    """Allow MEMORY more than the process has now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))


def serve(commands: TextIO, answers: TextIO, errors: Path, folder: Path) -> None:
    """Reads {reader, seed, first, count} a line; writes a line before and after each file."""

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    benches: dict[str, Bench] = {}
    for line in commands:
        order = json.loads(line)
        name = order["reader"]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        if name not in benches:
            benches[name] = Bench(TARGETS[name], folder / name)
        limit_memory()
        answer(ready=str(benches[name].folder))
        for number in range(order["first"], order["first"] + order["count"]):
            try:
                verdict = run(benches[name], order["seed"], number, errors)
            except Exception:
                verdict = Verdict("harness", traceback.format_exc()[-400:])
            answer(number=number, kind=verdict.kind, detail=verdict.detail[:2000])
            if verdict.is_fault:
                commands.readline()  # The parent copies the files first.
        answer(done=name)


def main() -> None:
    """Standard output is for answers; whatever a reader prints goes to a file."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        errors = Path(folder) / "errors.txt"
        answers = os.fdopen(os.dup(1), "w")
        with errors.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 2)
            os.dup2(file.fileno(), 1)
        with contextlib.suppress(KeyboardInterrupt):
            serve(sys.stdin, answers, errors, Path(folder) / "files")


if __name__ == "__main__":
    main()
