"""Resumable HTTP download into a partial file, with retries after transient errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from closemesh.core.errors import DownloadError
from closemesh.core.files import require_space
from closemesh.core.http import TransientError, response_chunks, send_request
from closemesh.core.progress import Advance, Progress
from closemesh.weights.account import LOGIN_REFUSED

if TYPE_CHECKING:
    from requests import Response, Session


@dataclass(frozen=True)
class PartialFile:
    """The file at `path`, which grows until complete; a JSON file beside it records its origin for a later run."""

    path: Path

    @property
    def length(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _origin(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def range_headers(self, url: str, hash_known: bool) -> dict[str, str]:
        """Return the headers that ask for the rest only, or none when the whole file is needed.

        The rest of another version must not be appended. Either the server compares versions (If-Range), or the hash
        of the whole file is known and is checked afterwards.
        """
        if not self.length:
            return {}
        rest = {"Range": f"bytes={self.length}-"}
        validator = self._validator(url)
        if validator:
            return {**rest, "If-Range": validator}
        return rest if hash_known else {}

    def remember(self, url: str, validator: str | None) -> None:
        """Record the origin of the bytes, before the first of them is written."""
        self._origin.write_text(json.dumps({"url": url, "validator": validator}))

    def open_at(self, offset: int) -> BinaryIO:
        """Return the file, open to write at `offset` bytes and truncated there."""
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        file.truncate(offset)
        file.seek(offset)
        return file

    def discard(self) -> None:
        """Remove the file and its record."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Rename the complete and verified file to `target`."""
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)

    def _validator(self, url: str) -> str | None:
        try:
            record = json.loads(self._origin.read_text())
            return record["validator"] if record["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class RetryPolicy:
    """How often a request is repeated. Only attempts that bring no new bytes count."""

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
    form: Mapping[str, str] | None = None
    """The fields of the account, for a source that needs one."""


class Transfer:
    """Downloads into partial files, with one session."""

    def __init__(
        self,
        session: Session,
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
                    failures = failures + 1 if partial.length <= most_bytes else 1
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
        headers = partial.range_headers(request.url, request.hash_known)
        with send_request(self._session, request.url, headers, request.form, LOGIN_REFUSED) as response:
            offset, total = _range_of(response, partial)
            if offset == total:
                return
            body = response_chunks(response)
            first = next(body, b"")
            _refuse_page(response, b"" if offset else first, request)
            _refuse_unknown_length(response, total, request)
            if total is not None:
                require_space(partial.path.parent, total - offset, request.name)
            if offset == 0:
                partial.discard()  # Before the new origin is recorded: it must never describe old bytes.
            partial.remember(request.url, _version_of(response))
            task.at(offset, total)
            with partial.open_at(offset) as file:
                for chunk in chain((first,), body):
                    file.write(chunk)
                    task.at(file.tell(), total)
        if total is not None and partial.length != total:
            raise TransientError("the connection ended early")


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


_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


def _range_of(response: Response, partial: PartialFile) -> tuple[int, int | None]:
    """First byte of the response and length of the whole file. Raises TransientError to start again from 0."""
    if response.status_code == 200:  # The whole file: it was asked for, has changed, or ranges are not supported.
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() and not encoded else None
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    start, total = match.groups() if match else (None, None)
    length = int(total) if total and total != "*" else None
    is_complete = response.status_code == 416 and length == partial.length
    fits = response.status_code == 206 and start is not None and int(start) == partial.length
    if not is_complete and not fits:
        partial.discard()
        raise TransientError("the server does not have the rest of this file", wait=0.0)
    return partial.length, length


def _version_of(response: Response) -> str | None:
    """The header value that differs between versions of the file, byte for byte."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _refuse_page(response: Response, start: bytes, request: DownloadRequest) -> None:
    """Raises DownloadError for a login or error page, which has status 200 too."""
    is_html = response.headers.get("Content-Type", "").startswith("text/html")
    if not is_html and not start.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return
    if request.form:
        raise DownloadError(LOGIN_REFUSED)
    raise DownloadError("a web page came instead of the file; does the network ask for a login?")


def _refuse_unknown_length(response: Response, total: int | None, request: DownloadRequest) -> None:
    """Raises DownloadError when neither length, hash nor end mark could show that a file is incomplete."""
    if total is None and not request.hash_known and response.headers.get("Transfer-Encoding") != "chunked":
        raise DownloadError("the server does not give the length of the file, and no hash of it is known")
