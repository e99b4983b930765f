"""One question to a server: TLS always verified, proxy and certificates from the environment, faults in two kinds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from closemesh.core.errors import DownloadError

if TYPE_CHECKING:
    from requests import Response, Session


REFUSED = "user name or password is wrong, or the licence is not yet accepted on the portal"
_TIMEOUT = (15.0, 60.0)  # Seconds to connect, and between two pieces.
_PIECE = 1 << 16  # What is not yet a whole piece is lost when the connection breaks.
RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""Answers of a server that may be another one later."""
_KEEPS_THE_FORM = {307, 308}


class TransientError(Exception):
    """It did not work now and may work later; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def open_session() -> Session:
    """A session that takes HTTPS_PROXY, REQUESTS_CA_BUNDLE and SSL_CERT_FILE from the environment."""
    from requests import Session

    from closemesh import __version__

    session = Session()
    session.headers.update({"User-Agent": f"closemesh/{__version__}", "Accept-Encoding": "identity"})
    session.verify = os.environ.get("SSL_CERT_FILE") or True  # requests itself reads REQUESTS_CA_BUNDLE, and first.
    return session


@contextmanager
def send_request(
    session: Session, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
) -> Iterator[Response]:
    """The answer to a GET, or to a POST of `form`: 200, 206 or 416.

    Raises InterruptedTransferError for what may pass, DownloadError for what will not.
    """
    with request_errors():
        response = _send(session, url, headers, form)
    with response:
        _check(response, url)
        yield response


@contextmanager
def request_errors() -> Iterator[None]:
    """What requests raises while it asks, as InterruptedTransferError or DownloadError."""
    import requests

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise DownloadError(
            "the server's certificate is not trusted; if your network has its own certificates, set SSL_CERT_FILE to "
            "their file"
        ) from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise TransientError(_reason(error)) from error
    except OSError as error:  # requests' own errors too: a wrong address, a missing file of certificates.
        raise DownloadError(f"it cannot be asked: {error}") from error


def response_chunks(response: Response, size: int = _PIECE) -> Iterator[bytes]:
    """The bytes of an answer, so many at once. Raises InterruptedTransferError when the connection breaks."""
    import requests

    try:
        yield from response.iter_content(size)
    except requests.exceptions.RequestException as error:
        raise TransientError("the connection broke") from error


def _send(session: Session, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Response:
    if form is None:
        return session.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    if urlsplit(url).scheme != "https":
        raise DownloadError("the address is not https; a password is sent over https only")
    # Redirects are followed by hand: the password goes to the address of the manifest and to no other.
    response = session.post(url, data=form, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False)
    if not response.is_redirect:
        return response
    response.close()
    if response.status_code in _KEEPS_THE_FORM:
        raise DownloadError("the server wants the password sent elsewhere, which was not done")
    return session.get(urljoin(url, response.headers["Location"]), headers=headers, stream=True, timeout=_TIMEOUT)


def _check(response: Response, url: str) -> None:
    status = response.status_code
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
        raise DownloadError("it leads to an address without https, which was not followed")
    if status in RETRYABLE_STATUS:
        raise TransientError(f"the server answered {status} {response.reason}", retry_after(response))
    if status in (401, 403) and response.request.method == "POST":
        raise DownloadError(REFUSED)
    if status not in (200, 206, 416):
        raise DownloadError(f"the server answered {status} {response.reason}")


def retry_after(response: Response) -> float | None:
    """Seconds that the server asks to wait; the header has a number or a date."""
    told = response.headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None


def _reason(error: Exception) -> str:
    import requests

    kinds = {
        requests.exceptions.ProxyError: "the proxy does not let through",
        requests.exceptions.Timeout: "the server does not answer",
    }
    return next((told for kind, told in kinds.items() if isinstance(error, kind)), "no connection to the server")
