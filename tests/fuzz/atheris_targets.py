"""The same readers under atheris, which follows the coverage: `python -m tests.fuzz.atheris_targets READER [options]`.

It runs only where atheris installs (`pip install atheris`; Linux or macOS, and the Python versions it is built for).
The files of findings are written by libFuzzer; its options, such as -runs=10000, follow the name of the reader.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["closemesh"]):
    from .targets import TARGETS
    from .verdicts import judge_error, judge_value


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = target.write(folder)
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        file = next(one for one in files if not target.suffixes or one.suffix in target.suffixes)

        def read(data: bytes) -> None:
            file.write_bytes(data)
            try:
                verdict = judge_value(target.read(path), target.may_be_nan, target.ranges)
            except Exception as error:
                verdict = judge_error(error, folder, target.names_file)
            if verdict.is_fault:
                raise AssertionError(f"{verdict.kind}: {verdict.detail}")

        corpus = folder / "corpus"
        corpus.mkdir()
        (corpus / "valid").write_bytes(file.read_bytes())
        atheris.Setup([*sys.argv, str(corpus)], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
