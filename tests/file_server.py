"""A real server on this machine that serves files well or badly, over http or https."""

from __future__ import annotations

import hashlib
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from raw_answer import RawAnswer

LOGIN_PAGE = b"\n<!DOCTYPE html>\n<html><body>Please sign in</body></html>"


@dataclass(frozen=True)
class Rest:
    """The answer to a request for the rest of a file, right or wrong."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 206


@dataclass
class Served:
    """One file and how the server behaves with it; what it was asked stands in `asked`."""

    body: bytes
    etag: str | None = '"first"'
    content_type: str = "application/octet-stream"
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """For each of the next requests: break the connection after so many bytes."""
    has_length: bool = True
    stall: threading.Event | None = None
    """When cut: first wait for this."""
    pause: float = 0.0
    """Seconds between any two tenths of the file."""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """For each of the next requests: a status and headers instead of the file."""
    raw: list[RawAnswer] = field(default_factory=list)
    """For each of the next requests: bytes instead of an answer."""
    rests: list[Rest] = field(default_factory=list)
    """For each of the next requests for a rest: how it is answered."""
    account: dict[str, str] | None = None
    """The form that must be posted; otherwise the login page comes, with status 200."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class FileServer:
    """Serves `files` by path; `url` is where."""

    def __init__(self, url: str, files: dict[str, Served]) -> None:
        self.url = url
        self.files = files

    def serve(self, path: str, body: bytes, **behaviour: Any) -> Served:
        self.files[path] = Served(body, **behaviour)
        return self.files[path]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """A server in a thread for as long as the block lasts."""
    files: dict[str, Served] = {}

    class Handler(_Handler):
        served = files

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield FileServer(f"{'https' if context else 'http'}://localhost:{server.server_port}/", files)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def tunnelling() -> Iterator[tuple[str, list[str]]]:
    """A proxy for https, and where it was asked to lead."""
    asked: list[str] = []

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().split()[1].decode())
            while self.rfile.readline().strip():
                pass
            host, port = asked[-1].split(":")
            with socket.create_connection((host, int(port))) as there:
                self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(there, self.connection))
                back.start()
                _copy(self.connection, there)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://localhost:{proxy.server_address[1]}", asked
        finally:
            proxy.shutdown()


@contextmanager
def answering(answer: RawAnswer) -> Iterator[int]:
    """A server without HTTP and TLS that sends `answer` at once; yields its port."""

    class Sender(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer.send(self.wfile)  # type: ignore[arg-type]

    with socketserver.ThreadingTCPServer(("localhost", 0), Sender) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _copy(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while piece := here.recv(1 << 16):
            there.sendall(piece)
    with suppress(OSError):
        there.shutdown(socket.SHUT_WR)


class _Handler(BaseHTTPRequestHandler):
    served: dict[str, Served]

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer({name: values[0] for name, values in parse_qs(text).items()})

    def do_GET(self) -> None:
        self._answer({})

    def _answer(self, form: dict[str, str]) -> None:
        file = self.served.get(self.path.lstrip("/"))
        if file is None:
            self._send(404, {}, b"nothing here")
            return
        file.asked.append((self.command, dict(self.headers)))
        if file.raw:
            file.raw.pop(0).send(self.wfile)
        elif file.rests and self.headers.get("Range"):
            rest = file.rests.pop(0)
            self._send(rest.status, rest.headers, rest.body)
        elif file.answers:
            status, headers = file.answers.pop(0)
            self._send(status, headers, b"not now")
        elif file.account is not None and form != file.account:
            self._send(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
        else:
            self._send_file(file)

    def _send_file(self, file: Served) -> None:
        headers = {"Content-Type": file.content_type, **({"ETag": file.etag} if file.etag else {})}
        output = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, file.etag)
        begin = int(output.removeprefix("bytes=").rstrip("-")) if output and file.ranges and same else 0
        if begin >= len(file.body):
            self._send(416, {"Content-Range": f"bytes */{len(file.body)}"}, b"")
            return
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(file.body) - 1}/{len(file.body)}"
        cut = file.cuts.pop(0) if file.cuts else None
        self._send(206 if begin else 200, headers, file.body[begin:], cut, file.has_length, file.pause)
        if cut is not None and file.stall:
            self.wfile.flush()
            file.stall.wait(30)

    def _send(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        cut: int | None = None,
        has_length: bool = True,
        pause: float = 0.0,
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if has_length and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body, tenth = body[:cut], len(body) // 10 + 1
        with suppress(OSError):  # Whoever asked has gone.
            for begin in range(0, len(body), tenth):
                self.wfile.write(body[begin : begin + tenth])
                time.sleep(pause)


def entry(name: str, *sources: str, body: bytes | None = None, **other: Any) -> dict[str, Any]:
    """A file of a manifest; its size and hash are known when `body` is given."""
    known = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()} if body is not None else {}
    return {
        "name": name,
        "purpose": "tests",
        "groups": [],
        "file": f"some/{name}.bin",
        "size": None,
        "sha256": None,
        "licence": "MIT",
        "accept_licence": False,
        "sources": list(sources),
        "account": None,
        "archive": None,
        **known,
        **other,
    }


def write_manifest(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps(entries))
    return path
