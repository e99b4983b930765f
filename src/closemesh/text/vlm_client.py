"""Client of an OpenAI-compatible chat endpoint, with retries."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from closemesh.core.errors import DownloadError, InputError
from closemesh.core.foreign import parse_json
from closemesh.core.http import RETRYABLE_STATUS, Answer, TransientError, answer_to, open_session
from closemesh.core.server_text import server_text
from closemesh.weights.transfer import RetryPolicy

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from closemesh.core.connections import Deadline


KEY_VARIABLE = "CLOSEMESH_VLM_KEY"
_PATH = "/chat/completions"
_NO_PROXY = {"http": None, "https": None, "all": None}
_MAX_ANSWER = 1 << 18  # Bytes.

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
        parts = _parts(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the address to describe with is no http or https address, such as https://host/v1")
        names = {name.lower() for name, _ in parse_qsl(parts.query)}
        reveals = any("key" in name or "token" in name for name in names) or (self.key and self.key in self.url)
        if parts.username or parts.password or reveals:
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
        self._session = open_session(with_cookies=False)
        self._secrets = (endpoint.key,) if endpoint.key else ()
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

        def send(deadline: Deadline) -> Response:
            # Redirects are not followed, and no proxy stands before this machine: the key and the images are sent only
            # to the given address.
            address, proxies = self._endpoint.address, _NO_PROXY if _is_local(self._endpoint.host) else None
            return self._session.send_once(
                "POST", address, deadline, json=values, auth=self._authorize, proxies=proxies
            )

        with answer_to(self._session, send, self._endpoint.timeout, self._secrets) as answer:
            body = answer.body(_MAX_ANSWER)
            if len(body) > _MAX_ANSWER:
                raise UnusableAnswerError("too long")
            self._check(answer, body)
            return body

    def _authorize(self, request: PreparedRequest) -> PreparedRequest:
        """Set the header; a function, because requests prefers a .netrc to a plain header."""
        if self._endpoint.key:
            request.headers["Authorization"] = f"Bearer {self._endpoint.key}"
        return request

    def _check(self, answer: Answer, body: bytes) -> None:
        if answer.status == 200:
            return
        reason = f"the server answered {answer.status_line}{self._server_reason(body)}"
        if answer.status in RETRYABLE_STATUS:
            raise TransientError(reason, answer.retry_after)
        if answer.response.is_redirect:
            raise DownloadError("it leads to another address, which was not followed; give that one")
        if answer.status in (401, 403):
            raise DownloadError(f"{reason}; is {KEY_VARIABLE} set to its key?")
        if answer.status == 400 and b"content" in body and (b"filter" in body or b"policy" in body):
            raise UnusableAnswerError("refused")
        raise DownloadError(reason)

    def _server_reason(self, body: bytes) -> str:
        """The error message of the server, without the key."""
        try:
            error = parse_json(body)["error"]
            reason = error["message"] if isinstance(error, dict) else error
        except (ValueError, LookupError, TypeError):
            return ""
        return f" ({server_text(reason, self._secrets)})" if isinstance(reason, str) else ""


def _text_of(body: bytes) -> str:
    """The text of an answer. Raises UnusableAnswerError when there is none."""
    try:
        choice = parse_json(body)["choices"][0]
        message = choice["message"]
        content = message.get("content")
        refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnusableAnswerError("not in the form of the protocol") from error
    if refused:
        raise UnusableAnswerError("refused")
    if choice.get("finish_reason") == "length":
        raise UnusableAnswerError("cut off")
    if not isinstance(content, str) or not content.strip():
        raise UnusableAnswerError("empty")
    return content


def _parts(url: str) -> SplitResult:
    """The parts of an address, all empty when it is none."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else urlsplit("")  # The port is read here: it may be no number.
    except ValueError:
        return urlsplit("")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
