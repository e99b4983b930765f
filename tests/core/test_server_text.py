"""Texts of servers: one short line, without control characters and without secrets in any notation."""

from __future__ import annotations

import base64
import random
from urllib.parse import quote

import pytest

from closemesh.core.server_text import secrets_of, server_text, shown_address

KEY = "sk-Very/secret+0123=&x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Not Found", "Not Found"),
        (" a\r\nb\tc ", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("\x9b2Jgone", "2Jgone"),
        ("a\u202eb\u2066c\u200dd\u200be\ufefff", "a b c d e f"),
        ("\x00\x07\x7f", ""),
        ("für 人", "für 人"),
        ("a" * 1000, "a" * 160),
        ("lone \ud800", "lone"),
    ],
)
def test_one_line(text: str, expected: str) -> None:
    assert server_text(text) == expected


def test_a_secret_is_removed_in_every_notation_and_place() -> None:
    source = random.Random(0)
    for _ in range(300):
        before, after = ("".join(source.choices("abcXYZ :", k=source.randrange(9))) for _ in range(2))
        coded = base64.b64encode(f"{before}{KEY}{after}".encode()).decode()
        for echo in (f"{before}{KEY}{after}", quote(KEY, safe=""), f"{before} {coded} {after}", "\n".join(KEY)):
            shown = server_text(echo, [KEY])
            assert "***" in shown
            assert KEY[2:10].lower() not in shown.replace(" ", "").lower()
            assert coded[12:28] not in shown


def test_other_text_stays() -> None:
    assert server_text("the key sk-other is wrong", [KEY]) == "the key sk-other is wrong"
    assert server_text("user me@x.org, password hunter2", ["me@x.org", "hunter2", ""]) == "user ***, password ***"
    assert server_text(KEY * 3 + "!", [KEY]) == "***!"


def test_a_secret_at_the_end_of_the_shown_part() -> None:
    for length in range(130, 170):
        assert KEY[:8] not in server_text("-" * length + KEY, [KEY])


@pytest.mark.parametrize(
    ("url", "expected", "secrets"),
    [
        ("https://host/a.bin", "https://host/a.bin", ()),
        ("https://host/a?domain=x&sfile=a.zip&resume=1", "https://host/a?domain=x&sfile=a.zip&resume=1", ()),
        ("https://me:pass%20word@host:8/a", "https://host:8/a", ("me", "pass word")),
        ("https://host/a?X-Token=abc&n=1", "https://host/a?X-Token=***&n=1", ("abc",)),
        ("https://host/a?sig=a%2Fb&api_key=c", "https://host/a?sig=***&api_key=***", ("a/b", "c")),
        ("http://[::", "an address that cannot be read", ()),
    ],
)
def test_addresses(url: str, expected: str, secrets: tuple[str, ...]) -> None:
    assert shown_address(url) == expected
    assert secrets_of(url) == secrets
