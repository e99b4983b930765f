"""Texts of servers for messages: one short line, without control characters and without the secrets that were sent."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlencode, urlsplit

_LENGTH = 160  # Characters that are passed on.
_SCANNED = 1 << 14  # Characters that are searched for secrets.
_PART = 8  # Equal characters in a row from which on a part of a secret is removed.
_HIDDEN = "***"
_SECRET_NAMES = ("key", "token", "secret", "password", "passwd", "signature", "credential", "auth", "sig")


def server_text(text: str, secrets: Iterable[str] = (), length: int = _LENGTH) -> str:
    """Return what a server or a library wrote, on one line without control characters, at most `length` characters.

    Parts of `secrets` become ***: as they are, in percent, HTML, JSON or hexadecimal notation, and in base64.
    """
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[:_SCANNED]).split())
    return _without(plain, secrets)[:length]


def shown_address(url: str) -> str:
    """Return an address for messages and records: without an account, and without the values of keys in its query."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        values = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return "an address that cannot be read"
    if any(_is_secret(name) for name, _ in values):
        query = urlencode([(name, _HIDDEN if _is_secret(name) else value) for name, value in values], safe="*/")
        parts = parts._replace(query=query)
    return parts._replace(netloc=host).geturl()


def secrets_of(url: str) -> tuple[str, ...]:
    """Return what `shown_address` leaves out of an address."""
    try:
        parts = urlsplit(url)
        values = parse_qsl(parts.query)
        account = [unquote(one) for one in (parts.username, parts.password) if one]
    except ValueError:
        return ()
    return (*account, *(value for name, value in values if _is_secret(name)))


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_NAMES)


def _without(text: str, secrets: Iterable[str]) -> str:
    """The text with marks in the place of secrets; spaces and capitals in between do not matter."""
    places = [place for place, c in enumerate(text) if not c.isspace()]
    compact = _small(text)
    hidden: set[int] = set()
    for spelled in {spelled for secret in secrets for spelled in _spellings(secret)}:
        size = min(_PART, len(spelled))
        parts = {spelled[begin : begin + size] for begin in range(len(spelled) - size + 1)}
        for begin in range(len(compact) - size + 1):
            if compact[begin : begin + size] in parts:
                hidden.update(range(places[begin], places[begin + size - 1] + 1))
    pieces = [_HIDDEN if place in hidden else c for place, c in enumerate(text)]
    return "".join(c for place, c in enumerate(pieces) if place not in hidden or place - 1 not in hidden)


def _spellings(secret: str) -> Iterator[str]:
    """Notations of a secret, as `_small` writes them."""
    data = secret.encode("utf-8", errors="surrogateescape")
    plain = [
        secret,
        quote(data, safe=""),
        quote_plus(data),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ]
    for offset in range(3):  # Base64 of the secret inside of another text, by its place there.
        coded = base64.b64encode(b"\0" * offset + data).decode().rstrip("=")
        inner = coded[(0, 2, 3)[offset] : len(coded) - ((offset + len(data)) % 3 > 0)]
        plain += [inner, inner.replace("+", "-").replace("/", "_")]
    plain.append(data.hex())
    yield from (spelled for one in plain if (spelled := _small(one)))


def _small(text: str) -> str:
    """Small letters without spaces, one for each character."""
    return "".join(c.lower()[:1] for c in text if not c.isspace())
