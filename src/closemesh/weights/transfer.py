"""Resumable HTTP into a partial file.

The half of a file that has come so far, and what it is the half of.

One address into a part file: goes on where it stopped, tries again when the trouble may pass.
"""

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
from closemesh.core.http import REFUSED, TransientError, response_chunks, send_request
from closemesh.core.progress import Advance, Progress

if TYPE_CHECKING:
    from requests import Response, Session


@dataclass(frozen=True)
class PartialFile:
    """`path` grows until it is whole; beside it stands where it is from, for a later run to go on with."""

    path: Path

    @property
    def length(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _origin(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def range_headers(self, url: str, hash_known: bool) -> dict[str, str]:
        """The headers that ask for the rest only, or none when the whole is needed.

        The rest of another version must not be joined on: either the server compares (If-Range), or the hash of the
        whole is known and tells afterwards.
        """
        if not self.length:
            return {}
        rest = {"Range": f"bytes={self.length}-"}
        validator = self._validator(url)
        if validator:
            return {**rest, "If-Range": validator}
        return rest if hash_known else {}

    def remember(self, url: str, validator: str | None) -> None:
        """Keep where the bytes are from, before the first of them is written."""
        self._origin.write_text(json.dumps({"url": url, "validator": validator}))

    def open_at(self, offset: int) -> BinaryIO:
        """The file to write on from `offset`; what stood after it is cut off."""
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        file.truncate(offset)
        file.seek(offset)
        return file

    def discard(self) -> None:
        """Begin anew."""
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Whole and checked: take the final name."""
        self.path.replace(target)
        self._origin.unlink(missing_ok=True)

    def _validator(self, url: str) -> str | None:
        try:
            told = json.loads(self._origin.read_text())
            return told["validator"] if told["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class RetryPolicy:
    """How long a transfer is tried. Attempts that bring nothing new are counted, the others are free."""

    attempts: int = 5
    first_wait: float = 1.0
    """Seconds; doubled from attempt to attempt."""
    longest_wait: float = 120.0

    def wait(self, failures: int, asked_for: float | None) -> float:
        """Seconds before the next attempt. Raises DownloadError when the server asks for too many."""
        if asked_for is not None and asked_for > self.longest_wait:
            raise DownloadError(f"the server asks to come back in {asked_for:.0f} s")
        return asked_for if asked_for is not None else min(self.first_wait * 2 ** (failures - 1), self.longest_wait)


@dataclass(frozen=True)
class DownloadRequest:
    """What is asked of one server."""

    name: str
    url: str
    hash_known: bool
    form: Mapping[str, str] | None = None
    """The fields of the account, for a source that wants one."""


class Transfer:
    """Fetches into part files, one session for all."""

    def __init__(
        self,
        session: Session,
        progress: Progress,
        patience: RetryPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session = session
        self._progress = progress
        self._patience = patience or RetryPolicy()
        self._sleep = sleep

    def fetch(self, wanted: DownloadRequest, part: PartialFile) -> None:
        """All of `wanted` into `part`. Raises DownloadError when the source cannot give it; `part` then stays."""
        failures, farthest = 0, part.length
        with ExitStack() as stack:
            meter = _Meter(self._progress, stack, wanted.name)
            while True:
                try:
                    self._attempt(wanted, part, meter)
                    return
                except TransientError as trouble:
                    failures = failures + 1 if part.length <= farthest else 1
                    farthest = max(farthest, part.length)
                    self._wait_or_give_up(wanted, trouble, failures)

    def _wait_or_give_up(self, wanted: DownloadRequest, trouble: TransientError, failures: int) -> None:
        if failures >= self._patience.attempts:
            raise DownloadError(f"{trouble}, {failures} times") from trouble
        wait = self._patience.wait(failures, trouble.wait)
        host = urlsplit(wanted.url).hostname
        self._progress.note(f"{wanted.name} from {host}: {trouble}; trying again in {wait:.0f} s")
        self._sleep(wait)

    def _attempt(self, wanted: DownloadRequest, part: PartialFile, meter: _Meter) -> None:
        headers = part.range_headers(wanted.url, wanted.hash_known)
        with send_request(self._session, wanted.url, headers, wanted.form) as response:
            offset, total = _agree(response, part)
            if offset == total:
                return
            body = response_chunks(response)
            first = next(body, b"")
            _refuse_page(response, b"" if offset else first, wanted)
            _refuse_without_end(response, total, wanted)
            if total is not None:
                require_space(part.path.parent, total - offset, wanted.name)
            if offset == 0:
                part.discard()  # Before the new origin is kept: old bytes must never stand beside it.
            part.remember(wanted.url, _validator(response))
            meter.at(offset, total)
            with part.open_at(offset) as file:
                for piece in chain((first,), body):
                    file.write(piece)
                    meter.at(file.tell(), total)
        if total is not None and part.length != total:
            raise TransientError("the connection ended early")


class _Meter:
    """One progress task for all attempts: begins with the first answer, follows the part file, backwards too."""

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


def _agree(response: Response, part: PartialFile) -> tuple[int, int | None]:
    """From which byte on the answer is, and how many there are. Raises InterruptedTransferError to begin anew."""
    if response.status_code == 200:  # The whole, because it was asked for, has changed, or is all the server can do.
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() and not encoded else None
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    begin, total = told.groups() if told else (None, None)
    in_all = int(total) if total and total != "*" else None
    is_whole = response.status_code == 416 and in_all == part.length
    fits = response.status_code == 206 and begin is not None and int(begin) == part.length
    if not is_whole and not fits:
        part.discard()
        raise TransientError("the server has not the rest of what is here", wait=0.0)
    return part.length, in_all


def _validator(response: Response) -> str | None:
    """What tells one version from another, byte for byte."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _refuse_page(response: Response, begin: bytes, wanted: DownloadRequest) -> None:
    """A login or error page comes with status 200 as well."""
    is_html = response.headers.get("Content-Type", "").startswith("text/html")
    if not is_html and not begin.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return
    if wanted.form:
        raise DownloadError(REFUSED)
    raise DownloadError("a web page came instead of the file; does the network ask for a login?")


def _refuse_without_end(response: Response, total: int | None, wanted: DownloadRequest) -> None:
    """Half a file must not be recorded as the whole: its length, its hash or an end mark has to tell."""
    if total is None and not wanted.hash_known and response.headers.get("Transfer-Encoding") != "chunked":
        raise DownloadError("the server does not tell how long the file is, and no hash of it is known")
