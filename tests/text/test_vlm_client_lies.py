"""Whatever a chat server sends, a question has a text or one line as an error, in time and without the key."""

from __future__ import annotations

import base64
import gzip
import json
import random
import time
from urllib.parse import quote

import pytest
from chat_server import MODEL, ChatServer, Reply, serving
from raw_answer import BROKEN, ENDLESS, RawAnswer

from closemesh.core.errors import DownloadError
from closemesh.text.vlm_client import ChatClient, Endpoint, UnusableAnswerError

KEY = "sk-Very/secret+0123=&x"
HELLO = [{"role": "user", "content": "hello"}]
ATTEMPTS = 4
TIMEOUT = 3.0
HANGS = 15.0
"""Seconds after which a test fails: far more than the attempts take."""


def answer(content: object = "they hug", **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}, **choice}]}).encode()


def ask(server: ChatServer, *replies: Reply, timeout: float = TIMEOUT) -> tuple[str | None, str, list[float]]:
    """The answer, the error and the waiting times of one question; checks what always holds."""
    server.replies = list(replies)
    waits: list[float] = []
    client = ChatClient(Endpoint(server.url, MODEL, KEY, timeout), sleep=waits.append)
    began, text, error = time.monotonic(), None, ""
    try:
        text = client.ask(HELLO)
    except (UnusableAnswerError, DownloadError) as fault:
        error = str(fault)
    assert time.monotonic() - began < HANGS
    assert text is None or isinstance(text, str)
    assert error.isprintable() and len(error) < 400
    assert all(wait >= 0 for wait in waits)
    for spelled in (KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode(), repr(KEY)[1:-1], KEY[:12]):
        assert spelled.lower() not in error.lower()
    return text, error, waits


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_cut(server: ChatServer, name: str) -> None:
    text, error, _ = ask(server, Reply(raw=ENDLESS[name]), timeout=0.2)
    assert text is None and error


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_an_error(server: ChatServer, name: str) -> None:
    text, error, _ = ask(server, Reply(raw=BROKEN[name]))
    assert text is None and error


BODIES = {
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"choices":' * 20_000,
    "nested lists that end": b'{"choices":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "number of 5000 digits": b'{"choices": [{"message": {"content": ' + b"9" * 5000 + b"}}]}",
    "infinite number": b'{"choices": [{"message": {"content": "a"}, "index": 1e999}]}',
    "NaN": b'{"choices": [{"message": {"content": NaN}}]}',
    "no UTF-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "UTF-16": answer().decode().encode("utf-16")[:-1],
    "NUL": b"\x00" * 1000,
    "empty": b"",
    "text": b'"choices"',
    "null": b"null",
    "choices as text": b'{"choices": "abc"}',
    "choices as object": b'{"choices": {"0": 1}}',
    "choice as text": b'{"choices": ["message"]}',
    "message as list": b'{"choices": [{"message": ["content"]}]}',
    "content as number": answer(7),
    "content as object": answer({"text": "a"}),
    "content as list of lists": answer([["text"]]),
    "content as parts of numbers": answer([{"text": 7}]),
    "content as parts of null": answer([{"text": None}]),
    "content as parts of lists": answer([{"text": ["a"]}]),
    "too long": answer("a" * (1 << 19)),
    "gzip of nothing": b"\x1f\x8b",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
def test_no_body_ends_the_run(server: ChatServer, name: str, status: int) -> None:
    text, error, _ = ask(server, Reply(status=status, body=BODIES[name]))
    assert text is None and error


@pytest.mark.parametrize("finish", [None, 7, [], {}, "length", "content_filter", "\x1b[31m"])
@pytest.mark.parametrize("refusal", [None, 7, [], {"a": 1}, ""])
def test_other_fields_of_any_type(server: ChatServer, finish: object, refusal: object) -> None:
    message = {"content": "they hug", "refusal": refusal}
    body = json.dumps({"choices": [{"message": message, "finish_reason": finish}]}).encode()
    text, error, _ = ask(server, Reply(body=body))
    assert (text == "they hug") != bool(error)


@pytest.mark.parametrize("message", [7, None, [], {}, [["a"]], {"message": {}}, "a\x1b[2Jb\u202ec\n\nd", "a" * 100_000])
@pytest.mark.parametrize("status", [400, 422, 503])
def test_the_error_of_a_server_may_be_anything(server: ChatServer, message: object, status: int) -> None:
    for body in ({"error": message}, {"error": {"message": message}}, message):
        _, error, _ = ask(server, Reply(status=status, body=json.dumps(body).encode()))
        assert f"the server answered {status}" in error and "\x1b" not in error and "\u202e" not in error


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("5", 5.0),
        ("\xb2", None),
        ("-5", None),
        ("1e400", None),
        ("nan", None),
        ("\xe9", None),
        ("", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Mon, 99 Foo 2020 99:99:99 GMT", None),
        ("Sat, 01 Jan 0000 00:00:00 GMT", 0.0),
        ("Mon, 1 Jan 2001 00:00:00 -0000", None),
        ("9" * 400, "gives up"),
        ("999", "gives up"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "gives up"),
        ("Fri, 31 Dec 9999 23:59:59 -2359", "gives up"),
    ],
)
def test_how_long_a_server_asks_to_wait(server: ChatServer, header: str, waits: object) -> None:
    text, error, waited = ask(server, Reply(status=429, headers={"Retry-After": header}), Reply("at last"))
    if waits == "gives up":
        assert "the server asks to come back in" in error and waited == []
    else:
        assert text == "at last" and waited == [1.0 if waits is None else waits]


def test_an_answer_may_be_compressed_although_this_was_not_asked_for(server: ChatServer) -> None:
    assert ask(server, Reply(body=gzip.compress(answer()), headers={"Content-Encoding": "gzip"}))[0] == "they hug"
    assert ask(server, Reply(body=gzip.compress(answer()), headers={"Content-Encoding": "deflate"}))[0] == "they hug"
    assert ask(server, Reply(body=answer(), headers={"Content-Encoding": "gzip"}))[0] == "they hug"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", ", ".join(["gzip"] * 50), "\xff"])
def test_an_answer_that_grows_is_too_long(server: ChatServer, encoding: str) -> None:
    bomb = gzip.compress(bytes(40 << 20))
    text, error, _ = ask(server, Reply(body=bomb, headers={"Content-Encoding": encoding}))
    assert text is None
    assert error in ("too long", "not in the form of the protocol", "the connection broke, 4 times")


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        " ".join(KEY),
        f"Bearer {KEY}",
        KEY[3:],
        KEY[:-4],
        KEY.upper(),
        base64.b64encode(KEY.encode()).decode(),
        base64.b64encode(f"Bearer {KEY}".encode()).decode(),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.urlsafe_b64encode(f"u:{KEY}!".encode()).decode(),
        KEY.encode().hex(),
        KEY.replace("&", "&amp;"),
    ],
)
@pytest.mark.parametrize("status", [401, 404, 503])
def test_an_echo_of_the_key_goes_nowhere(server: ChatServer, echo: str, status: int) -> None:
    head = f"HTTP/1.1 {status} wrong \x1b[31mkey {echo}\r\nX: {echo}\r\nRetry-After: {echo}\r\n".encode()
    body = json.dumps({"error": {"message": f"wrong\nkey {echo} in {{}}"}}).encode()
    raw = RawAnswer(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    _, error, _ = ask(server, Reply(raw=raw))
    assert f"{status} wrong [31mkey" in error and "***" in error
    for part in (KEY[3:12], echo.replace(" ", "")[2:14]):
        assert part.lower() not in error.replace(" ", "").lower()


def test_redirects_are_not_followed(server: ChatServer) -> None:
    for status in (301, 302, 303, 307, 308):
        before = len(server.requests)
        _, error, _ = ask(server, Reply(status=status, headers={"Location": f"{server.url}/{quote(KEY)}"}))
        assert "leads to another address" in error and len(server.requests) == before + 1


def test_a_server_gets_no_cookie_back(server: ChatServer) -> None:
    again = Reply(status=503, headers={"Set-Cookie": "id=7; Path=/"})
    assert ask(server, again, Reply("yes"))[0] == "yes"
    assert all("Cookie" not in headers for headers in server.headers)


def test_no_proxy_gets_what_is_for_this_machine(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert ask(server, Reply("yes"))[0] == "yes"
        assert proxy.requests == []


def test_what_is_sent_is_only_what_is_needed(server: ChatServer) -> None:
    ask(server, Reply("yes"))
    names = {name.lower() for name in server.headers[0]}
    assert names == {
        *("host", "user-agent", "accept-encoding", "accept", "connection"),
        *("content-length", "content-type", "authorization"),
    }
    assert server.headers[0]["User-Agent"].startswith("closemesh/")


def random_reply(source: random.Random) -> Reply:
    """A good answer with faults: another status, other headers, and bytes that are changed, cut or repeated."""
    body = bytearray(source.choice([answer(), *BODIES.values()])[: 1 << source.randrange(4, 17)])
    for _ in range(source.choice([0, 0, 1, 8])):
        if body:
            body[source.randrange(len(body))] = source.randrange(256)
    names = ["Content-Type", "Content-Encoding", "Retry-After", "Location", "Transfer-Encoding", "Content-Length"]
    values = ["gzip", "\xb2", "-1", "0", "5", "chunked", "9" * 30, "text/html", KEY, "http://", "\x00", "\x9b31m", ""]
    headers = {source.choice(names): source.choice(values) for _ in range(source.randrange(3))}
    status = source.choice([200, 200, 200, 204, 206, 301, 304, 400, 401, 413, 418, 429, 500, 503, 599])
    return Reply(status=status, headers=headers, body=bytes(body), cut=source.choice([None, None, 0, 10]))


def test_random_replies(server: ChatServer) -> None:
    source = random.Random(0)
    for _ in range(100):
        ask(server, *(random_reply(source) for _ in range(ATTEMPTS)))
