"""Endpoints that answer well, slowly, not at all, or without sense; the key is sent to one address only."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from chat_server import CUT_OFF, FILTERED, MODEL, REFUSED, ChatServer, Reply, serving

from closemesh.core.errors import DownloadError, InputError
from closemesh.text.vlm_client import KEY_VARIABLE, ChatClient, Endpoint, UnusableAnswerError

KEY = "sk-very-secret-0123"
HELLO = [{"role": "user", "content": "hello"}]


def ask(server: ChatServer, *replies: Reply, waits: list[float] | None = None, **endpoint: object) -> str:
    server.replies = list(replies)
    values = {"url": server.url, "model": MODEL, **endpoint}
    return ChatClient(Endpoint(**values), sleep=(waits if waits is not None else []).append).ask(HELLO)  # type: ignore[arg-type]


def test_a_good_answer(server: ChatServer):
    assert ask(server, Reply("they hug")) == "they hug"
    assert server.requests == [{"model": MODEL, "messages": HELLO, "temperature": 1.0}]
    assert "Authorization" not in server.headers[0]
    parts = {"content": [{"type": "text", "text": "they "}, {"type": "text", "text": "hug"}]}
    assert ask(server, Reply(message=parts)) == "they hug"
    assert ask(server, Reply("yes"), url=server.url + "/chat/completions") == "yes"


def test_the_key_is_sent_and_a_netrc_is_not(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server.key = KEY
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert ask(server, Reply("yes"), key=KEY) == "yes"


@pytest.mark.parametrize("key", [None, "sk-wrong-456"])
def test_a_wrong_key_is_reported_without_the_key(server: ChatServer, key: str | None):
    server.key = KEY
    with pytest.raises(DownloadError, match=rf"401 .*is {KEY_VARIABLE} set") as fault:
        ask(server, Reply("yes"), key=key)
    assert "sk-" not in str(fault.value)
    assert len(server.requests) == 1, "a final error is not retried"


def test_rate_limits_are_respected(server: ChatServer):
    waits: list[float] = []
    busy = Reply(status=429, headers={"Retry-After": "7"})
    assert ask(server, busy, Reply(status=503), Reply("at last"), waits=waits) == "at last"
    assert waits == [7.0, 2.0]


def test_retries_end(server: ChatServer):
    waits: list[float] = []
    with pytest.raises(DownloadError, match="the server answered 500 Internal Server Error, 4 times"):
        ask(server, Reply(status=500), waits=waits)
    assert waits == [1.0, 2.0, 4.0]
    with pytest.raises(DownloadError, match="asks to come back in 3600 s"):
        ask(server, Reply(status=429, headers={"Retry-After": "3600"}))


def test_a_broken_connection_is_retried(server: ChatServer):
    assert ask(server, Reply("half", cut=20), Reply("whole")) == "whole"
    with pytest.raises(DownloadError, match="no connection to the server, 4 times"):
        ask(server, Reply(), url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("slow", [Reply("late", silence=1.0), Reply("late", drip=0.05)])
def test_a_slow_answer_times_out(server: ChatServer, slow: Reply):
    began = time.monotonic()
    with pytest.raises(DownloadError, match=r"(does not answer|took too long|connection broke).*, 4 times"):
        ask(server, slow, timeout=0.2)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (REFUSED, "refused"),
        (FILTERED, "refused"),
        (Reply(status=400, body=b'{"error": {"code": "content_filter", "message": "no"}}'), "refused"),
        (CUT_OFF, "cut off"),
        (Reply(""), "empty"),
        (Reply(body=b"<html>sign in</html>"), "not in the form of the protocol"),
        (Reply(body=b'{"choices": []}'), "not in the form of the protocol"),
        (Reply(body=b"[7]"), "not in the form of the protocol"),
        (Reply(message={"content": [7]}), "not in the form of the protocol"),
        (Reply(body=b" " * (1 << 19)), "too long"),
    ],
)
def test_an_unusable_answer_is_an_error(server: ChatServer, reply: Reply, message: str):
    with pytest.raises(UnusableAnswerError, match=message):
        ask(server, reply)


def test_the_message_of_the_server_is_reported_in_one_line(server: ChatServer):
    with pytest.raises(DownloadError, match=r"404 Not Found \(there is no such model\)"):
        ask(server, Reply(), model="other")
    echo = Reply(status=422, body=f'{{"error": "bad\\n\\u001b[31mheader {KEY}"}}'.encode())
    with pytest.raises(DownloadError, match=r"422 .*\(bad \[31mheader \*\*\*\)"):
        ask(server, echo, key=KEY)


def test_the_key_does_not_follow_a_redirect(server: ChatServer):
    with pytest.raises(DownloadError, match="leads to another address, which was not followed"):
        ask(server, Reply(status=307, headers={"Location": server.url}), key=KEY)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("ftp://host/v1", None, "no http or https address"),
        ("host/v1", None, "no http or https address"),
        (f"https://user:{KEY}@host/v1", None, f"set {KEY_VARIABLE} to it"),
        (f"https://host/v1?api_key={KEY}", None, f"set {KEY_VARIABLE} to it"),
        ("http://host.example/v1", KEY, "over https only"),
        ("https://host.example/v1", KEY + "\nX: y", "characters that no key has"),
    ],
)
def test_addresses_that_would_reveal_the_key(url: str, key: str | None, message: str):
    with pytest.raises(InputError, match=message) as fault:
        Endpoint(url, MODEL, key)
    assert KEY not in str(fault.value)


def test_an_endpoint_can_be_shown():
    endpoint = Endpoint("https://host.example/openai/v1/?api-version=2", MODEL, KEY)
    assert KEY not in repr(endpoint)
    assert endpoint.address == "https://host.example/openai/v1/chat/completions?api-version=2"


def test_certificates_are_verified_against_those_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trustme = pytest.importorskip("trustme", reason="trustme makes the test's certificates: pip install trustme")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("localhost").configure_cert(context)
    with serving(context) as secure:
        secure.key = KEY
        with pytest.raises(DownloadError, match="certificate is not trusted"):
            ask(secure, Reply("yes"), key=KEY)
        assert secure.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert ask(secure, Reply("yes"), key=KEY) == "yes"
