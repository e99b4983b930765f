"""Sessions whose connections are cut when the time is over, however slowly a server sends.

The time limits of sockets begin again with each byte. A Deadline covers connecting, TLS, headers and body together;
only the system's name resolution has limits of its own.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter

from closemesh import __version__

_CONNECT_SECONDS = 15.0


class Deadline:
    """The time for one request; a thread shuts its connections down when it passes."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._until = time.monotonic() + seconds
        self._changed = threading.Condition()
        self._ended = False
        self._sockets: list[socket.socket] = []

    @property
    def left(self) -> float:
        """Seconds."""
        return max(0.0, self._until - time.monotonic())

    def restart(self, seconds: float) -> None:
        """Allow so many seconds from now on."""
        with self._changed:
            earlier = time.monotonic() + seconds < self._until
            self._until = time.monotonic() + seconds
            if earlier:  # Otherwise the thread reads the new time when the old one is over.
                self._changed.notify()

    def cover(self, connection: socket.socket) -> None:
        """Shut `connection` down too when the time is over."""
        # A duplicate: TLS takes the connection out of the original object.
        duplicate = socket.socket(connection.family, connection.type, connection.proto, socket.dup(connection.fileno()))
        with self._changed:
            self._sockets.append(duplicate)
            if self.passed:
                _shut_down(duplicate)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch the time for as long as the block lasts."""
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()
                for duplicate in self._sockets:
                    duplicate.close()

    def _watch(self) -> None:
        with self._changed:
            while not self._ended and self.left:
                self._changed.wait(self.left)
            if self._ended:
                return
            self.passed = True
            for duplicate in self._sockets:
                _shut_down(duplicate)


class LimitedSession(Session):
    """Requests one after the other, each with a Deadline; redirects are not followed."""

    def __init__(self, with_cookies: bool) -> None:
        super().__init__()
        self.headers.update({"User-Agent": f"closemesh/{__version__}", "Accept-Encoding": "identity"})
        self.verify = os.environ.get("SSL_CERT_FILE") or True  # requests reads REQUESTS_CA_BUNDLE itself, and first.
        if not with_cookies:
            self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._adapter = _CoveredAdapter()
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Deadline]:
        """A deadline for everything that is requested in the block."""
        deadline = self._adapter.deadline = Deadline(seconds)
        with deadline.running():
            try:
                yield deadline
            finally:
                self.close()  # The next deadline would not cover an idle connection.

    def send_once(self, method: str, url: str, deadline: Deadline, **options: Any) -> Any:
        """The response to one request, its body not yet read."""
        timeout = (min(_CONNECT_SECONDS, deadline.left + 0.001), deadline.left + 0.001)  # requests refuses 0.
        return self.request(method, url, timeout=timeout, stream=True, allow_redirects=False, **options)


class _CoveredAdapter(HTTPAdapter):
    """Puts every new connection under the deadline of the moment, those to and through proxies too."""

    deadline: Deadline | None = None

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self._cover(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            self._cover(manager)
        return manager

    def _cover(self, manager: Any) -> None:
        pools = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {scheme: self._covered(pool) for scheme, pool in pools.items()}

    def _covered(self, pool: Any) -> Any:
        """A class of connection pools like `pool`."""
        adapter, original = self, pool.ConnectionCls

        class Connection(original):
            def _new_conn(self) -> Any:
                connection = super()._new_conn()
                if adapter.deadline:
                    adapter.deadline.cover(connection)
                return connection

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # The server was faster.
        connection.shutdown(socket.SHUT_RDWR)
