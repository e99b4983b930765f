"""One verified HTTP request: TLS is always checked, proxy and certificates come from the environment.

A request has one time limit, and each of its redirects is checked before it is followed. Errors are of two kinds:
TransientError, after which the same request may succeed later, and DownloadError.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from closemesh.core.errors import ClosemeshError, DownloadError
from closemesh.core.server_text import secrets_of, server_text

if TYPE_CHECKING:
    from requests import Response

    from closemesh.core.connections import Deadline, LimitedSession


RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed later."""
CHUNK = 1 << 16
"""Bytes of a body that are read at a time; an incomplete chunk is lost when the connection breaks."""
_REPEATS_THE_FORM = {307, 308}  # Redirects after which a client would send the form again.
_MAX_REDIRECTS = 10
_HEADER_SECONDS = 60.0  # For connecting, all redirects and the headers of the last response.
_CHUNK_SECONDS = 64.0  # For one chunk: 1 KB a second.
_LONGEST_WAIT = 1e9  # Seconds; a server that asks for more is understood as this.


class TransientError(Exception):
    """A request that may succeed later; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def open_session(with_cookies: bool = True) -> LimitedSession:
    """Return a session that uses HTTPS_PROXY, REQUESTS_CA_BUNDLE and SSL_CERT_FILE of the environment.

    with_cookies: whether servers get back the cookies that they set.
    """
    from closemesh.core.connections import LimitedSession

    return LimitedSession(with_cookies)


class Answer:
    """A response whose body is read within the time limit of its request."""

    def __init__(self, response: Response, deadline: Deadline, secrets: Sequence[str] = ()) -> None:
        self.response = response
        self.status = response.status_code
        self._deadline, self._secrets = deadline, secrets
        response.raw.enforce_content_length = True  # urllib3 1 takes a body that was cut for complete.

    def header(self, name: str) -> str:
        """A header as it was sent, empty if it was not."""
        return self.response.headers.get(name, "")

    @property
    def status_line(self) -> str:
        """Status and reason, for messages."""
        return server_text(f"{self.status} {self.response.reason}", self._secrets)

    @property
    def is_encoded(self) -> bool:
        """Whether the body is compressed, although this was not asked for."""
        return self.header("Content-Encoding").strip().lower() not in ("", "identity")

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, None if it does not; the header is a number or a date."""
        text = self.header("Retry-After").strip()
        if re.fullmatch("[0-9]+", text):
            return float(text) if len(text) < 10 else _LONGEST_WAIT
        try:
            seconds = (parsedate_to_datetime(text[:64]) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError, OverflowError, LookupError, AttributeError):  # Dates that are none.
            return None
        return min(max(0.0, seconds), _LONGEST_WAIT)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as sent, in chunks that have a time limit each.

        Raises TransientError when the connection breaks or is too slow.
        """
        self._deadline.restart(_CHUNK_SECONDS)
        while chunk := self._read(CHUNK):
            yield chunk
            self._deadline.restart(_CHUNK_SECONDS)

    def body(self, limit: int) -> bytes:
        """Return the body, decompressed if necessary; more than `limit` bytes when it is too long.

        Raises TransientError when the connection breaks or the time is over.
        """
        body = self._read(limit + 1)
        if self.header("Content-Encoding").strip().lower() not in ("gzip", "x-gzip", "deflate"):
            return body
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, limit + 1)
        except zlib.error:
            return body

    def _read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        data = bytearray()
        with _errors(self._deadline, self._secrets, "the connection broke"):
            # Not `stream`, which reads the lengths of chunks as lines without a limit.
            while len(data) < size and (piece := self.response.raw.read(size - len(data), decode_content=False)):
                data += piece
        return bytes(data)


@contextmanager
def answer_to(
    session: LimitedSession, send: Callable[[Deadline], Response], seconds: float, secrets: Sequence[str] = ()
) -> Iterator[Answer]:
    """Yield the answer to what `send` requests, all of which may take `seconds`.

    secrets: what no message may hold. Raises TransientError or DownloadError, whatever the server does.
    """
    with session.limit(seconds) as deadline:
        with _errors(deadline, secrets):
            response = send(deadline)
        with response:
            yield Answer(response, deadline, secrets)


@contextmanager
def send_request(
    session: LimitedSession,
    url: str,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None,
    login_refused: str = "user name or password is wrong",
) -> Iterator[Answer]:
    """Yield the answer, with status 200, 206 or 416, to a GET, or to a POST of `form` if there is one.

    login_refused: the error when the server refuses the form.
    Raises TransientError for what may succeed later, DownloadError for what will not.
    """

    def send(deadline: Deadline) -> Response:
        return _follow(session, url, headers, form, deadline)

    secrets = (*(form or {}).values(), *secrets_of(url))
    with answer_to(session, send, _HEADER_SECONDS, secrets) as answer:
        _check(answer, login_refused)
        yield answer


def _follow(
    session: LimitedSession, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None, deadline: Deadline
) -> Response:
    """The response after all redirects. The form goes only to `url`, and so does an account of the user's .netrc."""
    if form is not None and urlsplit(url).scheme != "https":
        raise DownloadError("the address is not https; a password is sent over https only")
    account = None if urlsplit(url).scheme == "https" else _no_account
    for _ in range(_MAX_REDIRECTS + 1):
        method = "GET" if form is None else "POST"
        response = session.send_once(method, url, deadline, data=form, headers=headers, auth=account)
        if not response.is_redirect:
            return response
        with response:
            if form is not None and response.status_code in _REPEATS_THE_FORM:
                raise DownloadError("the server wants the password sent elsewhere, which was not done")
            url, form, account = _next_address(session, response, url), None, _no_account
    raise DownloadError(f"it leads on to another address more than {_MAX_REDIRECTS} times")


def _next_address(session: LimitedSession, response: Response, url: str) -> str:
    """Where a redirect from `url` leads. Raises DownloadError for an address that is not followed."""
    following = urljoin(url, session.get_redirect_target(response) or "")
    if urlsplit(url).scheme == "https" and urlsplit(following).scheme != "https":
        raise DownloadError("it leads to an address without https, which was not followed")
    if urlsplit(following).scheme not in ("http", "https") or not urlsplit(following).hostname:
        raise DownloadError("it leads to what is no http or https address, which was not followed")
    return following


def _no_account(request: object) -> object:
    """Authorization that adds nothing: without any, requests would look into the user's .netrc."""
    return request


def _check(answer: Answer, login_refused: str) -> None:
    status = answer.status
    if status in RETRYABLE_STATUS:
        raise TransientError(f"the server answered {answer.status_line}", answer.retry_after)
    if status in (401, 403) and answer.response.request.method == "POST":
        raise DownloadError(login_refused)
    if status not in (200, 206, 416):
        raise DownloadError(f"the server answered {answer.status_line}")


@contextmanager
def _errors(
    deadline: Deadline, secrets: Sequence[str], when_broken: str = "no connection to the server"
) -> Iterator[None]:
    """Translate all errors of a request. Raises TransientError or DownloadError."""
    try:
        yield
    except (ClosemeshError, TransientError):
        raise
    except Exception as error:
        # Without its cause, which may hold the address with its query and what the server sent.
        raise _translated(error, deadline, secrets, when_broken) from None
    if deadline.passed:  # A body that was cut may seem to be complete.
        raise TransientError("the server took too long")


def _translated(error: Exception, deadline: Deadline, secrets: Sequence[str], when_broken: str) -> Exception:
    from http.client import HTTPException

    from requests import exceptions
    from urllib3.exceptions import HTTPError
    from urllib3.exceptions import TimeoutError as SlowError

    if deadline.passed:
        return TransientError("the server took too long")
    if isinstance(error, exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            return TransientError("no encrypted connection to the server")
        return DownloadError(
            "the server's certificate is not trusted; if your network has its own certificates, set SSL_CERT_FILE to "
            "their file"
        )
    if isinstance(error, exceptions.ProxyError):
        return TransientError("the proxy refuses the connection")
    if isinstance(error, exceptions.Timeout | TimeoutError | SlowError):
        return TransientError("the server does not answer")
    if isinstance(error, exceptions.ConnectionError | ConnectionError | HTTPException | HTTPError):
        return TransientError(when_broken)
    if isinstance(error, exceptions.InvalidURL | exceptions.InvalidSchema | exceptions.MissingSchema):
        return DownloadError("the address is invalid")
    if isinstance(error, OSError) and not isinstance(error, exceptions.RequestException):  # A missing certificate file.
        return DownloadError(f"the request cannot be sent: {server_text(str(error), secrets)}")
    return DownloadError(f"the answer cannot be read ({type(error).__name__})")
