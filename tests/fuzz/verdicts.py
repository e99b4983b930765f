"""Whether what a reader gives is as promised: a finite, plausible value, or one error of one line with the file."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.core.errors import ClosemeshError

OK, REFUSED = "ok", "refused"
_SOURCE = "src/closemesh/"
_LONGEST = 1000  # Characters of an error.
_FAR = 1e6  # Meters.
_RANGES = {
    **dict.fromkeys(("fps",), (1e-9, 1e4)),
    **dict.fromkeys(("focal", "focal_px"), (1e-3, 1e7)),
    **dict.fromkeys(("pelvis", "transl", "joints", "rest_joints"), (-_FAR, _FAR)),
    **dict.fromkeys(("rotations",), (-2.0, 2.0)),
    **dict.fromkeys(("betas",), (-1e4, 1e4)),
    **dict.fromkeys(("frames", "frame_indices", "clip_frames"), (-1, 2**31)),
}
"""Name of a field -> the values that are plausible."""


@dataclass(frozen=True)
class Verdict:
    """What came of one damaged file."""

    kind: str
    """`ok`, `refused`, or the kind of the fault with the line of closemesh at which it appeared."""
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind not in (OK, REFUSED)


def judge_value(value: Any, may_be_nan: frozenset[str] = frozenset(), ranges: bool = True) -> Verdict:
    """`ok`, or what is not finite or not plausible in an accepted value.

    may_be_nan: fields that may be nan. ranges: numbers must be in the ranges of their fields too.
    """
    for name, found in _numbers(value, "value"):
        numbers = np.asarray(found)
        if numbers.dtype.kind not in "fiub":
            return Verdict(f"accepted {numbers.dtype} in {name}")
        numbers = numbers.astype(np.float64)
        if name in may_be_nan:
            numbers = numbers[~np.isnan(numbers)]
        if numbers.size and not np.isfinite(numbers).all():
            return Verdict(f"accepted non-finite {name}", str(numbers)[:200])
        low, high = _RANGES.get(name, (-math.inf, math.inf)) if ranges else (-math.inf, math.inf)
        if numbers.size and (numbers.min() < low or numbers.max() > high):
            return Verdict(f"accepted implausible {name}", f"{numbers.min()} to {numbers.max()}")
    return Verdict(OK)


def _numbers(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Name and value of all numbers and arrays in a value."""
    if isinstance(value, torch.Tensor):
        yield name, value.detach().numpy()
    elif isinstance(value, np.ndarray):
        if value.dtype.kind not in "US":
            yield name, value
    elif isinstance(value, float | np.generic) and not isinstance(value, str | bytes):
        yield name, value
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from _numbers(getattr(value, one.name), one.name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, key if isinstance(key, str) else name)
    elif isinstance(value, list | tuple | frozenset | set):
        for item in value:
            yield from _numbers(item, name)


def judge_error(error: BaseException, folder: Path, names_file: bool = True) -> Verdict:
    """`refused`, or why an error is not as promised; `folder` has the files that were read."""
    text = str(error)
    if _out_of_memory(error):
        return Verdict(f"memory {_place(error)}", text)
    if not isinstance(error, ClosemeshError):
        return Verdict(f"{type(error).__name__} {_place(error)}", _with_cause(error))
    if not text or not text.isprintable() or len(text) > _LONGEST:
        fault = "long" if len(text) > _LONGEST else "unprintable"
        return Verdict(f"{fault} line {_place(error)}", repr(text[:300]))
    if names_file and folder.name not in text and not any(file.name in text for file in folder.rglob("*")):
        return Verdict(f"no file name {_place(error)}", text)
    return Verdict(REFUSED, text)


def _out_of_memory(error: BaseException) -> bool:
    """Also behind an error line: the reader tried to use more memory than there is."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or "DefaultCPUAllocator" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _with_cause(error: BaseException) -> str:
    return f"{error!r}"[:300]


def _place(error: BaseException) -> str:
    """File and line of closemesh at which the error appeared; of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _SOURCE in frame.filename]
    return f"{own[-1].filename.split(_SOURCE)[-1]}:{own[-1].lineno}" if own else "outside"
