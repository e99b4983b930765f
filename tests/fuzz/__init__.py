"""Fuzzer of everything that reads foreign files: `python -m tests.fuzz --minutes 5`.

A reader gives either a finite, plausible value or one ClosemeshError of one line that names the file. Valid small files
are damaged at random, by bytes, by values, by fields of zip and npy headers, and read in a process of its own, so that
crashes, hangs and exhausted memory count too.
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
# Writers of valid files are modules of the tests, which are no packages.
for _folder in ("", "importers", "video", "lab/datasets"):
    if str(_TESTS / _folder) not in sys.path:
        sys.path.append(str(_TESTS / _folder))
