"""One verified HTTP request: TLS is always checked, proxy and certificates come from the environment.

Errors are of two kinds: TransientError, after which the same request may succeed later, and DownloadError.
"""

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


RETRYABLE_STATUS = {408, 425, 429, 500, 502, 503, 504}
"""Status codes after which the same request may succeed later."""
_REPEATS_THE_FORM = {307, 308}  # Redirects after which a client would send the form again.
_TIMEOUT = (15.0, 60.0)  # Seconds to connect, and between two chunks.
_CHUNK = 1 << 16  # Bytes; an incomplete chunk is lost when the connection breaks.


class TransientError(Exception):
    """A request that may succeed later; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def open_session() -> Session:
    """Return a session that uses HTTPS_PROXY, REQUESTS_CA_BUNDLE and SSL_CERT_FILE of the environment."""
    from requests import Session

    from closemesh import __version__

    session = Session()
    session.headers.update({"User-Agent": f"closemesh/{__version__}", "Accept-Encoding": "identity"})
    session.verify = os.environ.get("SSL_CERT_FILE") or True  # requests reads REQUESTS_CA_BUNDLE itself, and first.
    return session


@contextmanager
def send_request(
    session: Session,
    url: str,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None,
    login_refused: str = "user name or password is wrong",
) -> Iterator[Response]:
    """Yield the response, with status 200, 206 or 416, to a GET, or to a POST of `form` if there is one.

    login_refused: the error when the server refuses the form.
    Raises TransientError for what may succeed later, DownloadError for what will not.
    """
    with request_errors():
        response = _send(session, url, headers, form)
    with response:
        _check(response, url, login_refused)
        yield response


@contextmanager
def request_errors() -> Iterator[None]:
    """Translate the errors of requests. Raises TransientError or DownloadError."""
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
    except OSError as error:  # Also requests' own errors: an invalid address, a missing certificate file.
        raise DownloadError(f"the request cannot be sent: {error}") from error


def response_chunks(response: Response, size: int = _CHUNK) -> Iterator[bytes]:
    """Yield the body of a response in chunks of `size` bytes. Raises TransientError when the connection breaks."""
    import requests

    try:
        yield from response.iter_content(size)
    except requests.exceptions.RequestException as error:
        raise TransientError("the connection broke") from error


def retry_after(response: Response) -> float | None:
    """Return the seconds that the server asks to wait, None if it does not; the header is a number or a date."""
    header = response.headers.get("Retry-After", "")
    if header.isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds())
    except (ValueError, TypeError):
        return None


def _send(session: Session, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Response:
    if form is None:
        return session.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    if urlsplit(url).scheme != "https":
        raise DownloadError("the address is not https; a password is sent over https only")
    # Redirects are followed by hand: the password goes only to the address of the manifest.
    response = session.post(url, data=form, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False)
    if not response.is_redirect:
        return response
    response.close()
    if response.status_code in _REPEATS_THE_FORM:
        raise DownloadError("the server wants the password sent elsewhere, which was not done")
    return session.get(urljoin(url, response.headers["Location"]), headers=headers, stream=True, timeout=_TIMEOUT)


def _check(response: Response, url: str, login_refused: str) -> None:
    status = response.status_code
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
        raise DownloadError("it leads to an address without https, which was not followed")
    if status in RETRYABLE_STATUS:
        raise TransientError(f"the server answered {status} {response.reason}", retry_after(response))
    if status in (401, 403) and response.request.method == "POST":
        raise DownloadError(login_refused)
    if status not in (200, 206, 416):
        raise DownloadError(f"the server answered {status} {response.reason}")


def _reason(error: Exception) -> str:
    import requests

    reasons = {
        requests.exceptions.ProxyError: "the proxy refuses the connection",
        requests.exceptions.Timeout: "the server does not answer",
    }
    return next((reason for kind, reason in reasons.items() if isinstance(error, kind)), "no connection to the server")
