"""Compilation to machine code without the GIL, its cache on disk, and the threads that run it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

# nan stays nan: only the order of operations is free.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` at the first call, with a cache on disk where a folder can be written."""
    try:
        kernel = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # No writable folder: compile anew in every process.
        return njit(**_OPTIONS)(function)
    # Called functions are compiled in, but numba checks only the file of the function itself for changes.
    index = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if index is not None:
        index._source_stamp = _stamp()
    return kernel


@lru_cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, modification time and size of each file of this folder, which are compiled together."""
    states = ((file.name, file.stat()) for file in sorted(Path(__file__).parent.glob("*.py")))
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states)


def run_in_parallel(
    function: Callable[[int, int], None], work: NDArray[np.integer], pieces_per_thread: int = 8
) -> None:
    """Call function(first, last) on as many threads as torch uses, over ranges of about equal work.

    work [N + 1] is the cumulative cost of N items; the less accurate it is, the more pieces are useful. The calling
    thread works too, so it never waits for threads that are busy with other calls.
    """
    threads, items = torch.get_num_threads(), len(work) - 1
    if threads == 1 or items < 2:
        return function(0, items)
    bounds = np.linspace(0, int(work[-1]), pieces_per_thread * threads + 1)[1:-1]
    cuts = np.unique(np.concatenate([[0], np.searchsorted(work, bounds), [items]])).tolist()
    pieces = iter(list(pairwise(cuts)))

    def take() -> None:
        for first, last in pieces:  # All threads take from the same iterator.
            function(first, last)

    futures = [_pool(os.getpid()).submit(take) for _ in range(threads - 1)]
    take()
    for future in futures:
        if not future.cancel():
            future.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process; a forked process inherits none."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="closemesh-rasterize")


def aligned_empty(rows: int, columns: int) -> NDArray[np.float32]:
    """An uninitialized float32 array [rows, columns], aligned to cache lines."""
    buffer = np.empty(rows * columns + 16, dtype=np.float32)
    first = -(buffer.ctypes.data // 4) % 16
    return buffer[first : first + rows * columns].reshape(rows, columns)
