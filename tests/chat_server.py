"""A local server with the chat protocol for images; its replies may be faulty."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
from raw_answer import RawAnswer

MODEL = "sees-well"


@dataclass(frozen=True)
class Reply:
    """What the server answers to one request."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    """More fields of the answer's message."""
    finish: str = "stop"
    body: bytes | None = None
    """Instead of an answer of the protocol."""
    cut: int | None = None
    """Break the connection after so many bytes."""
    drip: float = 0.0
    """Seconds between two bytes."""
    silence: float = 0.0
    """Seconds before the first byte."""
    raw: RawAnswer | None = None
    """Instead of everything else."""


def statements(*values: dict[str, Any], words: str = "A is on the left.") -> Reply:
    """An answer as a good model gives it: some text, then JSON in a fence."""
    return Reply(f"{words}\n```json\n{json.dumps({'statements': list(values)})}\n```\n")


REFUSED = Reply(message={"refusal": "I cannot help with that."})
FILTERED = Reply(finish="content_filter")
CUT_OFF = Reply('{"statements": [{"kind": "po', finish="length")


@dataclass
class ChatServer:
    """`replies` are used one after the other, the last one repeatedly; `requests` records what was sent."""

    url: str
    key: str | None = None
    """The key that must be sent."""
    replies: list[Reply] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def images(self) -> list[np.ndarray]:
        """The images that were sent, RGB [H, W, 3]."""
        urls = [one["messages"][1]["content"][1]["image_url"]["url"] for one in self.requests]
        assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
        coded = (np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8) for url in urls)
        return [cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] for data in coded]  # type: ignore[index]


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[ChatServer]:
    """A server in a thread for as long as the block lasts."""
    chat = ChatServer("")

    class Handler(_Handler):
        served = chat

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    chat.url = f"{'https://localhost' if context else 'http://127.0.0.1'}:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        server.shutdown()
        server.socket.close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: ChatServer

    def do_POST(self) -> None:
        values = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.served.headers.append(dict(self.headers))
        self.served.requests.append(values)
        fault = self._fault(values)
        self._send(fault or self.served.next_reply())

    def _fault(self, values: dict[str, Any]) -> Reply | None:
        """The answer of a real endpoint to a wrong request, if it is one."""
        if self.path != "/v1/chat/completions":
            return Reply(status=404, body=b'{"error": {"message": "no such path"}}')
        if self.served.key and self.headers.get("Authorization") != f"Bearer {self.served.key}":
            error = {"error": {"message": f"Incorrect API key: {self.headers.get('Authorization')}"}}
            return Reply(status=401, body=json.dumps(error).encode())
        if values.get("model") != MODEL:
            return Reply(status=404, body=b'{"error": {"message": "there is no such model"}}')
        return None

    def _send(self, reply: Reply) -> None:
        if reply.raw:
            reply.raw.send(self.wfile)
            return
        time.sleep(reply.silence)
        message = {"role": "assistant", "content": reply.text or None, **reply.message}
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": reply.finish}]}
        body = json.dumps(answer).encode() if reply.body is None else reply.body
        with suppress(OSError):  # The client may have closed the connection.
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if not reply.drip:
                self.wfile.write(body[: reply.cut])
                return
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(reply.drip)

    def log_message(self, *_: Any) -> None:
        pass
