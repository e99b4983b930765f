"""Answers of servers byte for byte: status lines, headers and bodies that no HTTP library would send."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class RawAnswer:
    """What is sent instead of an answer of HTTP."""

    start: bytes = b""
    repeat: bytes = b""
    """Sent after it, again and again until the client closes the connection."""
    pause: float = 0.0
    """Seconds between two repetitions."""
    seconds: float = 30.0
    """How long it is repeated at most."""

    def send(self, output: BinaryIO) -> None:
        until = time.monotonic() + self.seconds
        with suppress(OSError):
            output.write(self.start)
            output.flush()
            while self.repeat and time.monotonic() < until:
                output.write(self.repeat)
                output.flush()
                time.sleep(self.pause)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "silence": RawAnswer(b"", b"", seconds=0.0),
    "headers, byte by byte": RawAnswer(OK + b"X-Slow: ", b"a", pause=0.02),
    "headers without an end": RawAnswer(OK, b"X-More: b\r\n"),
    "headers without an end, slowly": RawAnswer(OK, b"X-More: b\r\n", pause=0.02),
    "one header without an end": RawAnswer(OK + b"X-Long: ", b"a" * 65536),
    "status line without an end": RawAnswer(b"HTTP/1.1 200 ", b"O" * 65536),
    "status line, byte by byte": RawAnswer(b"HTTP/1.1 200 ", b"O", pause=0.02),
    "interim answers": RawAnswer(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers, slowly": RawAnswer(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.02),
    "early hints": RawAnswer(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"),
    "body, byte by byte": RawAnswer(OK + b"Content-Length: 100000\r\n\r\n", b" ", pause=0.02),
    "body without length, byte by byte": RawAnswer(OK + b"\r\n", b" ", pause=0.02),
    "body without an end": RawAnswer(OK + b"\r\n", b" " * 65536),
    "chunks of one byte": RawAnswer(CHUNKED, b"1\r\na\r\n"),
    "chunks of one byte, slowly": RawAnswer(CHUNKED, b"1\r\na\r\n", pause=0.02),
    "chunk length without an end": RawAnswer(CHUNKED, b"0" * 65536),
    "trailers without an end": RawAnswer(CHUNKED + b"1\r\na\r\n0\r\n", b"X-More: b\r\n", pause=0.02),
}
"""Answers that no time limit of a socket ends."""
BROKEN = {
    "nothing": RawAnswer(),
    "no HTTP": RawAnswer(b"\x00\xff\x16\x03\r\n\r\n"),
    "another version": RawAnswer(b"HTTP/9.9 200 OK\r\n\r\n{}"),
    "status that is no number": RawAnswer(b"HTTP/1.1 abc OK\r\n\r\n"),
    "status too large": RawAnswer(b"HTTP/1.1 99999 OK\r\n\r\n"),
    "status below 100": RawAnswer(b"HTTP/1.1 000 OK\r\n\r\n"),
    "unfinished header": RawAnswer(OK + b"Content-Le"),
    "header without a colon": RawAnswer(OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}"),
    "NUL in a header": RawAnswer(OK + b"X-\x00: \x00\r\nContent-Length: 2\r\n\r\n{}"),
    "length that is no digit": RawAnswer(OK + b"Content-Length: \xb2\r\n\r\n{}"),
    "length of 5000 digits": RawAnswer(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"),
    "negative length": RawAnswer(OK + b"Content-Length: -5\r\n\r\n{}"),
    "two lengths": RawAnswer(OK + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}"),
    "length too large": RawAnswer(OK + b"Content-Length: 9999\r\n\r\n{}"),
    "length of everything": RawAnswer(OK + b"Content-Length: 999999999999\r\n\r\n{}"),
    "chunk length that is no number": RawAnswer(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "negative chunk length": RawAnswer(CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n"),
    "chunk that is cut": RawAnswer(CHUNKED + b"ffff\r\n{}"),
    "length and chunks": RawAnswer(CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "unknown transfer": RawAnswer(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "redirect to nowhere": RawAnswer(b"HTTP/1.1 302 Found\r\nLocation: \r\n\r\n"),
    "redirect to no address": RawAnswer(b"HTTP/1.1 302 Found\r\nLocation: http://[:::/\r\n\r\n"),
    "redirect in bytes": RawAnswer(b"HTTP/1.1 302 Found\r\nLocation: /\xff\xfe\r\n\r\n"),
    "redirect to a file": RawAnswer(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
    "redirect without address": RawAnswer(b"HTTP/1.1 302 Found\r\n\r\n"),
    "cookies": RawAnswer(OK + b"Set-Cookie: =;;=\xff; expires=\xb2; domain=.\r\nContent-Length: 2\r\n\r\n{}"),
}
"""Answers that are none."""
