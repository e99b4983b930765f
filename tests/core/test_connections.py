"""A deadline cuts connections however they are held open, and only while its block lasts."""

from __future__ import annotations

import socket
import threading
import time

from closemesh.core.connections import Deadline


def test_a_connection_is_cut_while_it_is_read() -> None:
    here, there = socket.socketpair()
    deadline = Deadline(0.1)
    deadline.cover(here)
    with here, there, deadline.running():
        began = time.monotonic()
        assert here.recv(1) == b""
        assert time.monotonic() - began < 5
        assert deadline.passed and deadline.left == 0


def test_a_connection_that_opens_too_late_is_cut_at_once() -> None:
    here, there = socket.socketpair()
    deadline = Deadline(0.0)
    with here, there, deadline.running():
        while not deadline.passed:
            time.sleep(0.01)
        deadline.cover(here)
        assert here.recv(1) == b""


def test_the_time_begins_again() -> None:
    here, there = socket.socketpair()
    deadline = Deadline(0.3)
    deadline.cover(here)
    with here, there, deadline.running():
        deadline.restart(60.0)
        time.sleep(0.5)
        there.sendall(b"a")
        assert here.recv(1) == b"a" and not deadline.passed
        deadline.restart(0.05)
        assert here.recv(1) == b"", "an earlier end is noticed"


def test_after_the_block_nothing_is_cut_and_no_thread_stays() -> None:
    here, there = socket.socketpair()
    deadline = Deadline(0.2)
    deadline.cover(here)
    threads = threading.active_count()
    with here, there:
        with deadline.running():
            pass
        time.sleep(0.4)
        there.sendall(b"a")
        assert here.recv(1) == b"a" and not deadline.passed
        assert threading.active_count() <= threads
