"""What other programs wrote: JSON, single values of a documented type, and one error for whatever else goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from closemesh.core.errors import ClosemeshError, InputError, one_line

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MAX_JSON = 512 << 20  # Bytes; parsed values take up to ten times as much memory.
_MAX_REASON = 160  # Characters of a reason from another library.


@contextmanager
def foreign_file(
    path: Path, error: type[ClosemeshError] = InputError, advice: str = "make it again with the tool it is from"
) -> Iterator[None]:
    """Report whatever goes wrong while `path` is read as one line that names it.

    Readers check what they read and raise clear errors themselves; this is for what no reader expects.
    Raises `error` with `advice` in the place of every exception that is no ClosemeshError.
    """
    try:
        with np.errstate(all="ignore"):  # A warning about numbers that are refused would be a second line.
            yield
    except ClosemeshError:
        raise
    except FileNotFoundError as reason:
        raise error(f"{path}: no such file; check the path") from reason
    except MemoryError as reason:
        raise error(f"{path} needs more memory than there is; {advice}") from reason
    except Exception as reason:
        raise error(f"{path} is not as documented ({short_reason(reason)}); {advice}") from reason


def foreign_reader(read: Callable[Concatenate[Path, _P], _T]) -> Callable[Concatenate[Path, _P], _T]:
    """Return a reader whose first argument is a file or folder and which reads it within `foreign_file`.

    Raises InputError for whatever the reader does not expect.
    """

    @wraps(read)
    def safe(path: Path, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with foreign_file(path):
            return read(path, *args, **kwargs)

    return safe


def short_reason(error: BaseException) -> str:
    """Return the message of an error on one line without control characters, or its type if it has none."""
    text = one_line(" ".join(str(error).split()))[:_MAX_REASON]
    return f"no {text}" if isinstance(error, KeyError) and text else text or type(error).__name__


def parse_json(text: str | bytes) -> Any:
    """Return the value of JSON text. Raises ValueError, also for NaN, infinite numbers and text nested too deeply."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_number(word: str) -> float:
    """Return the finite number that a word of a text file is. Raises ValueError for other words."""
    number = float(word)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def require_regular(path: Path) -> None:
    """Check that an existing path is a file with an end, and no pipe or device. Raises InputError."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no regular file; give one")


def read_json_file(path: Path, advice: str = "make it again with the tool it is from") -> Any:
    """Return the value of a JSON file in UTF-8. Raises InputError for a missing, damaged or too large file."""
    require_regular(path)
    with foreign_file(path, advice=advice):
        size = path.stat().st_size
        if size > _MAX_JSON:
            raise InputError(f"{path} has {size >> 20} MB, more than any such file; {advice}")
        return parse_json(path.read_bytes().decode("utf-8-sig"))


def expect_number(path: Path, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return one finite number from `low` to `high`. Raises InputError with the file and the name of the value."""
    single = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
    if isinstance(single, bool) or not isinstance(single, int | float):
        raise InputError(f"{path}: {name} is {_kind(value)}, not a number; the file is not as documented")
    # Compared before the conversion: an integer may be too large for a float.
    if not max(low, -1e300) <= single <= min(high, 1e300):
        bounds = f"from {low:g} to {high:g}" if math.isfinite(low + high) else "finite and in its range"
        raise InputError(f"{path}: {name} is {_short(single)}; it must be {bounds}")
    return float(single)


def expect_whole_number(path: Path, name: str, value: Any, low: int = -(2**31), high: int = 2**31) -> int:
    """Return one whole number from `low` to `high`. Raises InputError with the file and the name of the value."""
    number = expect_number(path, name, value, low, high)
    if number != int(number):
        raise InputError(f"{path}: {name} is {number:g}, not a whole number; the file is not as documented")
    return int(number)


def expect_text(path: Path, name: str, value: Any) -> str:
    """Return a string; numpy strings and bytes in UTF-8 too. Raises InputError with the file and the name."""
    single = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
    if isinstance(single, bytes):
        single = single.decode("utf-8", errors="replace")
    if not isinstance(single, str):
        raise InputError(f"{path}: {name} is {_kind(value)}, not text; the file is not as documented")
    return single


def expect_mapping(path: Path, name: str, value: Any) -> dict[Any, Any]:
    """Return a dictionary. Raises InputError with the file and the name of the value."""
    if not isinstance(value, dict):
        raise InputError(f"{path}: {name} is {_kind(value)}, not a table of names; the file is not as documented")
    return value


def expect_list(path: Path, name: str, value: Any) -> list[Any]:
    """Return a list; of a tuple or an array its entries. Raises InputError with the file and the name of the value."""
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value)
    if not isinstance(value, list | tuple):
        raise InputError(f"{path}: {name} is {_kind(value)}, not a list; the file is not as documented")
    return list(value)


def _short(number: float) -> str:
    # Python refuses to write integers of thousands of digits.
    return str(number)[:20] if isinstance(number, float) or number.bit_length() < 1000 else "a huge number"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {list(value.shape)}"
    return {dict: "a table of names", list: "a list", str: "text", type(None): "null"}.get(
        type(value), type(value).__name__
    )


def _refuse(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:20]}, which is too large")
    return number
