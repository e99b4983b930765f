"""Results of several threads come in order, few items are in memory, and errors reach the caller."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from closemesh.core.parallel import available_cores, map_in_order


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number % 3 == 0 else 0)
        return number * number

    assert list(map_in_order(slow_first, range(10), workers=3)) == [number * number for number in range(10)]


def test_few_items_are_taken_before_their_results() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    for count, _ in enumerate(map_in_order(lambda number: number, items(), workers=2), start=1):
        assert taken <= count + 2


def test_an_error_is_raised_where_its_result_is_due() -> None:
    def fail_at_two(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = map_in_order(fail_at_two, range(5), workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_several_threads_run_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    list(map_in_order(lambda _: both.wait(), range(2), workers=2))
    assert available_cores() >= 1


def test_closing_cancels_what_waits() -> None:
    started: list[int] = []

    def slow(number: int) -> int:
        started.append(number)
        time.sleep(0.02)
        return number

    results = map_in_order(slow, range(100), workers=1)
    next(results)
    results.close()
    count = len(started)
    time.sleep(0.1)
    assert len(started) == count < 5
