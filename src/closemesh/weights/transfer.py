"""Resumable HTTP download into a partial file, with retries after transient errors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from closemesh.core.errors import DownloadError
from closemesh.core.files import require_space
from closemesh.core.http import CHUNK, Answer, TransientError, send_request
from closemesh.core.progress import Advance, Progress
from closemesh.core.server_text import shown_address
from closemesh.weights.account import LOGIN_REFUSED
from closemesh.weights.manifest import MAX_DOWNLOAD
from closemesh.weights.partial_file import Origin, PartialFile

if TYPE_CHECKING:
    from closemesh.core.connections import LimitedSession


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is repeated. Only attempts that bring no new chunk count."""

    attempts: int = 5
    first_wait: float = 1.0
    """Seconds; doubled from attempt to attempt."""
    longest_wait: float = 120.0
    """Seconds."""

    def wait(self, failures: int, asked_for: float | None) -> float:
        """Return the seconds before the next attempt; `asked_for` by the server.

        Raises DownloadError when the server asks for more than the longest wait.
        """
        if asked_for is not None and asked_for > self.longest_wait:
            raise DownloadError(f"the server asks to come back in {asked_for:.0f} s")
        return asked_for if asked_for is not None else min(self.first_wait * 2 ** (failures - 1), self.longest_wait)


@dataclass(frozen=True)
class DownloadRequest:
    """What one server is asked for."""

    name: str
    url: str
    hash_known: bool
    size: int | None = None
    """Bytes of the file, if known."""
    form: Mapping[str, str] | None = None
    """The fields of the account, for a source that needs one."""


class Transfer:
    """Downloads into partial files, with one session."""

    def __init__(
        self,
        session: LimitedSession,
        progress: Progress,
        retries: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._progress = progress
        self._retries = retries or RetryPolicy()
        self._sleep = sleep

    def fetch(self, request: DownloadRequest, partial: PartialFile) -> None:
        """Download the whole of `request` into `partial`.

        Raises DownloadError when the source cannot provide it; `partial` then stays for a later run.
        """
        failures, most_bytes = 0, partial.length
        with ExitStack() as stack:
            task = _TransferTask(self._progress, stack, request.name)
            while True:
                try:
                    self._attempt(request, partial, task)
                    return
                except TransientError as error:
                    failures = failures + 1 if partial.length < most_bytes + CHUNK else 1
                    most_bytes = max(most_bytes, partial.length)
                    self._wait(request, error, failures)

    def _wait(self, request: DownloadRequest, error: TransientError, failures: int) -> None:
        """Wait before the next attempt. Raises DownloadError after the last one."""
        if failures >= self._retries.attempts:
            raise DownloadError(f"{error}, {failures} times") from error
        wait = self._retries.wait(failures, error.wait)
        host = urlsplit(request.url).hostname
        self._progress.note(f"{request.name} from {host}: {error}; trying again in {wait:.0f} s")
        self._sleep(wait)

    def _attempt(self, request: DownloadRequest, partial: PartialFile, task: _TransferTask) -> None:
        partial.refuse_links()
        headers = partial.range_headers(request.url, request.hash_known)
        with send_request(self._session, request.url, headers, request.form, LOGIN_REFUSED) as answer:
            offset, total = _range_of(answer, partial, request)
            if answer.status == 416:
                return
            body = answer.chunks()
            first = next(body, b"")
            _refuse_page(answer, b"" if offset else first, request)
            _refuse_length(answer, total, request)
            if total is not None:
                require_space(partial.path.parent, total - offset, request.name)
            if offset == 0:
                partial.discard()  # Before the new origin is recorded: it must never describe old bytes.
            partial.remember(Origin(shown_address(request.url), _version_of(answer), total))
            task.at(offset, total)
            expected = total or request.size or MAX_DOWNLOAD
            with partial.open_at(offset) as file:
                for chunk in takewhile(lambda _: file.tell() <= expected, chain((first,), body)):
                    file.write(chunk)
                    task.at(file.tell(), total)
        _check_length(partial, total, expected)


class _TransferTask:
    """One progress task for all attempts: starts with the first response, follows the partial file, also backwards."""

    def __init__(self, progress: Progress, stack: ExitStack, name: str) -> None:
        self._progress = progress
        self._stack = stack
        self._name = name
        self._done = 0
        self._advance: Advance | None = None

    def at(self, done: int, total: int | None) -> None:
        if self._advance is None:
            self._advance = self._stack.enter_context(self._progress.task(self._name, total, done))
        else:
            self._advance(done - self._done)
        self._done = done


_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,15})-([0-9]{1,15})|\*)/([0-9]{1,15}|\*)", re.ASCII)


def _range_of(answer: Answer, partial: PartialFile, request: DownloadRequest) -> tuple[int, int | None]:
    """First byte of the answer and length of the whole file.

    Raises TransientError to start again from 0, DownloadError for a compressed body, whose bytes are other ones.
    """
    if answer.is_encoded:
        raise DownloadError("the server sends the file compressed, which was not asked for")
    if answer.status == 200:  # The whole file: it was asked for, has changed, or ranges are not supported.
        length = answer.header("Content-Length")
        return 0, int(length) if re.fullmatch("[0-9]{1,15}", length) else None
    match = _CONTENT_RANGE.fullmatch(answer.header("Content-Range"))
    start, end, total = (int(one) if one and one != "*" else None for one in match.groups()) if match else [None] * 3
    origin = partial.origin(request.url)
    if answer.status == 416:
        fits = bool(total) and total == partial.length and _is_whole(partial.length, origin, request)
    else:
        fits = start == partial.length and partial.length <= (end or 0) < (total or MAX_DOWNLOAD)
        fits = fits and (total is not None or request.hash_known) and _is_same_version(answer, total, origin, request)
    if not fits:
        partial.discard()
        raise TransientError("the server does not have the rest of this file", wait=0.0)
    return partial.length, total


def _is_whole(total: int, origin: Origin | None, request: DownloadRequest) -> bool:
    """Whether something else than this answer shows that the file has `total` bytes."""
    return request.hash_known or total == request.size or (origin is not None and total == origin.total)


def _is_same_version(answer: Answer, total: int | None, origin: Origin | None, request: DownloadRequest) -> bool:
    """Whether the answer is the rest of what is there already, as far as the server describes it."""
    if origin is None:
        return request.hash_known or not answer.response.request.headers.get("Range")
    if total is not None and origin.total is not None and total != origin.total:
        return False
    if origin.validator is None:
        return request.hash_known
    # A rest may come without its date, but not without its tag.
    found = answer.header("ETag" if origin.validator.startswith('"') else "Last-Modified")
    may_be_missing = request.hash_known or not origin.validator.startswith('"')
    return found == origin.validator if found else may_be_missing


def _version_of(answer: Answer) -> str | None:
    """The header value that differs between versions of the file, byte for byte."""
    etag = answer.header("ETag")
    found = etag if etag and not etag.startswith("W/") else answer.header("Last-Modified")
    return found if found and found.isascii() and found.isprintable() else None


def _refuse_page(answer: Answer, start: bytes, request: DownloadRequest) -> None:
    """Raises DownloadError for a login or error page, which has status 200 too."""
    is_html = answer.header("Content-Type").startswith("text/html")
    if not is_html and not start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return
    if request.form:
        raise DownloadError(LOGIN_REFUSED)
    raise DownloadError("a web page came instead of the file; does the network ask for a login?")


def _refuse_length(answer: Answer, total: int | None, request: DownloadRequest) -> None:
    """Raises DownloadError for a length that cannot be that of the file, and for none when nothing else shows the end.

    Without a length, a hash or an end mark could show that a file is incomplete.
    """
    if total is not None:
        _refuse_more(total, request.size or MAX_DOWNLOAD)
    elif not request.hash_known and answer.header("Transfer-Encoding") != "chunked":
        raise DownloadError("the server does not give the length of the file, and no hash of it is known")


def _check_length(partial: PartialFile, total: int | None, expected: int) -> None:
    """Raises TransientError when bytes are missing, DownloadError, without the bytes, when there are too many."""
    length = partial.length
    if length > expected or not length:
        partial.discard()
        _refuse_more(length, expected)
        raise DownloadError("the server sends an empty file")
    if total is not None and length != total:
        raise TransientError("the connection ended early")


def _refuse_more(count: int, expected: int) -> None:
    if count > expected:
        raise DownloadError(f"{count} bytes came instead of {expected}")
