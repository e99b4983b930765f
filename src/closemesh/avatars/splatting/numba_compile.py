"""Functions compiled to machine code that runs without the GIL, and the threads that run them."""

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

# What is not a number stays so: only the order of operations is free.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz", "arcp"}}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile when first called, kept on disk where a folder for it can be written."""
    try:
        kernel = njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # No writable folder: compile anew in every process.
        return njit(**_OPTIONS)(function)
    # What a function calls is compiled into it, but numba looks for changes in the file of the function alone.
    index = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if index is not None:
        index._source_stamp = _stamp()
    return kernel


@lru_cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of each of the files that are compiled together."""
    states = ((file.name, file.stat()) for file in sorted(Path(__file__).parent.glob("*.py")))
    return tuple((name, state.st_mtime_ns, state.st_size) for name, state in states)


def run_in_pieces(function: Callable[[int, int], None], work: NDArray[np.integer], pieces_per_thread: int = 8) -> None:
    """Call function(first, last) on as many threads as torch uses, over ranges of about equal work.

    work [N + 1] counts what the first n of N items cost together; the less one knows of that, the more pieces pay. The
    calling thread works too: it never waits for threads that other callers keep busy.
    """
    threads, items = torch.get_num_threads(), len(work) - 1
    if threads == 1 or items < 2:
        return function(0, items)
    shares = np.linspace(0, int(work[-1]), pieces_per_thread * threads + 1)[1:-1]
    cuts = np.unique(np.concatenate([[0], np.searchsorted(work, shares), [items]])).tolist()
    pieces = iter(list(pairwise(cuts)))

    def take() -> None:
        for first, last in pieces:  # All threads take from the same iterator.
            function(first, last)

    helpers = [_pool(os.getpid()).submit(take) for _ in range(threads - 1)]
    take()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked one inherits none."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="closemesh-rasterize")


def aligned_empty(rows: int, columns: int) -> NDArray[np.float32]:
    """A float32 array [rows, columns] that begins at a border of the cache's lines."""
    buffer = np.empty(rows * columns + 16, dtype=np.float32)
    first = -(buffer.ctypes.data // 4) % 16
    return buffer[first : first + rows * columns].reshape(rows, columns)
