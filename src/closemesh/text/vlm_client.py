"""Client of an OpenAI-compatible chat endpoint, with retries."""

from __future__ import annotations

import ipaddress
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from closemesh.core.errors import DownloadError, InputError
from closemesh.core.http import (
    RETRYABLE_STATUS,
    TransientError,
    open_session,
    request_errors,
    response_chunks,
    retry_after,
)
from closemesh.weights.transfer import RetryPolicy

if TYPE_CHECKING:
    from requests import PreparedRequest, Response


KEY_VARIABLE = "CLOSEMESH_VLM_KEY"
_PATH = "/chat/completions"
_CONNECT_TIMEOUT = 15.0  # Seconds.
_MAX_ANSWER = 1 << 18  # Bytes.
_MAX_REASON = 160  # Characters of the message of the server that are passed on.

Message = Mapping[str, Any]


class UnusableAnswerError(Exception):
    """An answer that cannot be used: refused, cut off or not in the requested form."""


@dataclass(frozen=True)
class Endpoint:
    """Address, name and key of a model.

    Raises InputError for an address that cannot be used or would reveal the key.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout: float = 120.0
    """Seconds for a whole answer."""

    def __post_init__(self) -> None:
        if self.key and not re.fullmatch("[!-~]+", self.key):
            raise InputError(f"{KEY_VARIABLE} holds spaces or other characters that no key has")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the address to describe with is no http or https address, such as https://host/v1")
        names = {name.lower() for name, _ in parse_qsl(parts.query)}
        if parts.username or parts.password or any("key" in name or "token" in name for name in names):
            raise InputError(f"leave the key out of the address to describe with, and set {KEY_VARIABLE} to it")
        if self.key and parts.scheme != "https" and not _is_local(parts.hostname):
            raise InputError(f"{parts.hostname} is not asked over https; {KEY_VARIABLE} is sent over https only")

    @property
    def host(self) -> str:
        """The host of the address, for messages."""
        return urlsplit(self.url).hostname or ""

    @property
    def address(self) -> str:
        """The address of the chat endpoint; `url` may be this or its base."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/")
        return parts._replace(path=path if path.endswith(_PATH) else path + _PATH).geturl()


class ChatClient:
    """Asks one endpoint. The key is sent only to its address and is never part of an error message."""

    def __init__(
        self, endpoint: Endpoint, retry: RetryPolicy | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._endpoint = endpoint
        self._session = open_session()
        self._retry = retry or RetryPolicy(attempts=4, longest_wait=60.0)
        self._sleep = sleep

    def ask(self, messages: Sequence[Message]) -> str:
        """The text of one answer to chat messages.

        Raises UnusableAnswerError for an answer without text, DownloadError when the endpoint does not answer.
        """
        failures = 0
        while True:
            try:
                return _text_of(self._attempt(messages))
            except TransientError as error:
                failures += 1
                if failures >= self._retry.attempts:
                    raise DownloadError(f"{error}, {failures} times") from error
                self._sleep(self._retry.wait(failures, error.wait))

    def _attempt(self, messages: Sequence[Message]) -> bytes:
        # Without a temperature some servers always return the same answer, which makes a vote meaningless.
        values = {"model": self._endpoint.model, "messages": messages, "temperature": 1.0}
        deadline = time.monotonic() + self._endpoint.timeout
        with request_errors():
            response = self._session.post(
                self._endpoint.address,
                json=values,
                auth=self._authorize,
                timeout=(_CONNECT_TIMEOUT, self._endpoint.timeout),
                stream=True,
                # The key and the images are sent only to the given address.
                allow_redirects=False,
            )
        with response:
            body = _read_body(response, deadline)
            self._check(response, body)
            return body

    def _authorize(self, request: PreparedRequest) -> PreparedRequest:
        """Set the header; a function, because requests prefers a .netrc to a plain header."""
        if self._endpoint.key:
            request.headers["Authorization"] = f"Bearer {self._endpoint.key}"
        return request

    def _check(self, response: Response, body: bytes) -> None:
        status = response.status_code
        if status == 200:
            return
        reason = _on_one_line(f"the server answered {status} {response.reason}{self._server_reason(body)}")
        if status in RETRYABLE_STATUS:
            raise TransientError(reason, retry_after(response))
        if response.is_redirect:
            raise DownloadError("it leads to another address, which was not followed; give that one")
        if status in (401, 403):
            raise DownloadError(f"{reason}; is {KEY_VARIABLE} set to its key?")
        if status == 400 and b"content" in body and (b"filter" in body or b"policy" in body):
            raise UnusableAnswerError("refused")
        raise DownloadError(reason)

    def _server_reason(self, body: bytes) -> str:
        """The error message of the server, without the key."""
        try:
            error = json.loads(body)["error"]
            reason = str(error["message"] if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            return ""
        if self._endpoint.key:
            reason = reason.replace(self._endpoint.key, "***")
        return f" ({reason[:_MAX_REASON]})"


def _on_one_line(text: str) -> str:
    """The text of a server without control characters, which could affect the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _read_body(response: Response, deadline: float) -> bytes:
    """The body. Raises TransientError when it arrives too slowly, UnusableAnswerError when it is too long."""
    body = bytearray()
    # Single bytes: a slow server would delay larger chunks past the deadline.
    for chunk in response_chunks(response, 1):
        body += chunk
        if time.monotonic() > deadline:
            raise TransientError("the answer took too long")
        if len(body) > _MAX_ANSWER:
            raise UnusableAnswerError("too long")
    return bytes(body)


def _text_of(body: bytes) -> str:
    """The text of an answer. Raises UnusableAnswerError when there is none."""
    try:
        choice = json.loads(body)["choices"][0]
        message = choice["message"]
        content = message.get("content")
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnusableAnswerError("not in the form of the protocol") from error
    if refused:
        raise UnusableAnswerError("refused")
    if choice.get("finish_reason") == "length":
        raise UnusableAnswerError("cut off")
    if not isinstance(content, str) or not content.strip():
        raise UnusableAnswerError("empty")
    return content


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
