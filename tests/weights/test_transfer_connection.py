"""TLS is verified against the certificates of the environment; a password goes over it, to one address only."""

from __future__ import annotations

import base64
import io
import ssl
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from downloading import Downloads
from file_server import FileServer, answering, entry, serving, tunnelling
from raw_answer import ENDLESS, RawAnswer

from closemesh.core import http as connection
from closemesh.core.errors import DownloadError
from closemesh.weights.account import Account

trustme = pytest.importorskip("trustme", reason="trustme makes the test's certificates: pip install trustme")

BODY = b"weights " * 1000
ACCOUNT = Account("user", "secret & more")
FORM = {"username": "user", "password": "secret & more"}


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The certificate that the https server's is signed with."""
    return tmp_path / "authority.pem"


@pytest.fixture
def secure(authority: Path) -> Iterator[FileServer]:
    """A server over https, of an authority that is unknown."""
    maker = trustme.CA()
    maker.cert_pem.write_to_path(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    maker.issue_cert("localhost").configure_cert(context)
    with serving(context) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_certificates_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusted(authority: Path, secure: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """The same, and the environment names its authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return secure


def test_an_unknown_authority_is_refused_at_once(secure: FileServer, get: Downloads) -> None:
    served = secure.serve("a.bin", BODY)
    with pytest.raises(DownloadError, match=r"the server's certificate is not trusted; .* SSL_CERT_FILE"):
        get(entry("a", secure.url + "a.bin"))
    assert get.waits == [] and served.asked == []


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_environment_names_the_authority(
    secure: FileServer, authority: Path, get: Downloads, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, str(authority))
    secure.serve("a.bin", BODY)
    assert get(entry("a", secure.url + "a.bin", body=BODY))[0].read_bytes() == BODY


def test_a_file_of_certificates_that_is_not_there(
    secure: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(DownloadError, match=r"/nowhere\.pem"):
        get(entry("a", secure.url + "a.bin"))


def test_the_proxy_of_the_environment_leads_there(
    trusted: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted.serve("a.bin", BODY)
    with tunnelling() as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert get(entry("a", trusted.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert asked == [trusted.url.removeprefix("https://").rstrip("/")]


def test_a_proxy_that_is_not_there(get: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")
    with pytest.raises(DownloadError, match="the proxy refuses the connection, 5 times"):
        get(entry("a", "https://files.example/a.bin"))


def test_https_does_not_lead_to_http(trusted: FileServer, server: FileServer, get: Downloads) -> None:
    trusted.serve("a.bin", BODY, answers=[(302, {"Location": server.url + "a.bin"})])
    server.serve("a.bin", BODY)
    with pytest.raises(DownloadError, match="leads to an address without https"):
        get(entry("a", trusted.url + "a.bin"))


def body_of(server: FileServer) -> dict[str, object]:
    archive = {"file": "models_smplx_v1_1.zip", "member": "smplx/SMPLX_NEUTRAL.npz"}
    address = server.url + "download.php?domain=smplx&sfile=models_smplx_v1_1.zip&resume=1"
    return entry("smplx", address, archive=archive, account="portal.example", accept_licence=True)


def serve_body(server: FileServer, **behavior: object) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("models/smplx/SMPLX_NEUTRAL.npz", BODY * 50)
    server.serve("download.php?domain=smplx&sfile=models_smplx_v1_1.zip&resume=1", buffer.getvalue(), **behavior)


def test_the_body_comes_for_the_account_and_goes_on(trusted: FileServer, get: Downloads) -> None:
    serve_body(trusted, account=FORM, cuts=[200_000])
    assert get(body_of(trusted), account=ACCOUNT)[0].read_bytes() == BODY * 50
    [served] = trusted.files.values()
    assert [method for method, _ in served.asked] == ["POST", "POST"]
    assert served.asked[1][1]["Range"].startswith("bytes=")
    stored = "".join(path.read_text() for path in get.folder.rglob("*.json")) + "".join(get.progress.notes)
    assert "secret" not in stored


def test_a_wrong_password_gives_one_line(trusted: FileServer, get: Downloads) -> None:
    serve_body(trusted, account=FORM)
    with pytest.raises(DownloadError, match="user name or password is wrong, or the license is not yet") as fault:
        get(body_of(trusted), account=Account("user", "wrong-one"))
    assert "wrong-one" not in str(fault.value)
    assert get.present == set()


def test_a_portal_that_says_so_itself(trusted: FileServer, get: Downloads) -> None:
    serve_body(trusted, answers=[(401, {})])
    with pytest.raises(DownloadError, match="user name or password is wrong"):
        get(body_of(trusted), account=ACCOUNT)


def test_a_password_is_not_sent_without_https(server: FileServer, get: Downloads) -> None:
    serve_body(server, account=FORM)
    with pytest.raises(DownloadError, match="a password is sent over https only"):
        get(body_of(server), account=ACCOUNT)
    assert [served.asked for served in server.files.values()] == [[]]


def test_a_password_is_not_sent_on(trusted: FileServer, get: Downloads) -> None:
    serve_body(trusted, account=FORM, answers=[(307, {"Location": trusted.url + "elsewhere"})])
    elsewhere = trusted.serve("elsewhere", BODY)
    with pytest.raises(DownloadError, match="wants the password sent elsewhere"):
        get(body_of(trusted), account=ACCOUNT)
    assert elsewhere.asked == []


def test_a_file_that_lies_elsewhere_is_fetched_without_the_password(trusted: FileServer, get: Downloads) -> None:
    serve_body(trusted)
    [served] = trusted.files.values()
    trusted.files["file.zip"] = served
    serve_body(trusted, answers=[(302, {"Location": "/file.zip"})])
    assert get(body_of(trusted), account=ACCOUNT)[0].read_bytes() == BODY * 50
    assert [method for method, _ in served.asked] == ["GET"]


@pytest.mark.parametrize("with_account", [False, True])
def test_every_redirect_is_over_https(
    trusted: FileServer, server: FileServer, get: Downloads, with_account: bool
) -> None:
    """Not the last address alone: the one in between is not asked at all."""
    file = body_of(trusted) if with_account else entry("a", trusted.url + "a.bin", body=BODY)
    serve_body(trusted)
    [served] = trusted.files.values()
    trusted.files["a.bin"] = served
    served.answers = [(302, {"Location": server.url + "between"})]
    between = server.serve("between", BODY, answers=[(302, {"Location": trusted.url + "end"})])
    trusted.serve("end", BODY)
    with pytest.raises(DownloadError, match="leads to an address without https, which was not followed"):
        get(file, account=ACCOUNT)
    assert between.asked == []


def test_an_account_is_not_shown_by_what_the_portal_sends(trusted: FileServer, get: Downloads) -> None:
    echo = urlencode(FORM) + " " + base64.b64encode(b"user:secret & more").decode() + " secret & more"
    for status in (404, 503):
        serve_body(trusted, raw=[RawAnswer(f"HTTP/1.1 {status} no \x1b[31m {echo}\r\n\r\n".encode())] * 5)
        with pytest.raises(DownloadError, match=rf"{status} no \[31m .*\*\*\*") as fault:
            get(body_of(trusted), account=ACCOUNT)
        texts = "".join([str(fault.value), *get.progress.notes]).replace(" ", "")
        assert not [part for part in ("secret", "more", "=user", "dXNlcjpz") if part in texts]


def test_an_account_of_netrc_goes_to_its_own_address_over_https_only(
    trusted: FileServer, server: FileServer, get: Downloads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine localhost login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    first = trusted.serve("a.bin", BODY, answers=[(302, {"Location": trusted.url + "b.bin"})])
    second, third = trusted.serve("b.bin", BODY), server.serve("c.bin", BODY)
    get(entry("a", trusted.url + "a.bin", body=BODY), entry("c", server.url + "c.bin", body=BODY))
    sent = ["Authorization" in headers for served in (first, second, third) for _, headers in served.asked]
    assert sent == [True, False, False]


def test_headers_that_come_slowly_after_the_handshake_are_cut(
    trusted: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.3)
    trusted.serve("a.bin", BODY, raw=[ENDLESS["headers, byte by byte"]] * 5)
    with pytest.raises(DownloadError, match="the server took too long, 5 times"):
        get(entry("a", trusted.url + "a.bin", body=BODY))


@pytest.mark.parametrize("proxy", [False, True])
def test_a_handshake_that_never_ends_is_cut(get: Downloads, monkeypatch: pytest.MonkeyPatch, proxy: bool) -> None:
    """Of TLS with the server, and of the connection through a proxy."""
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.3)
    start = b"HTTP/1.1 200 " if proxy else b"\x16\x03\x03\x40\x00"
    with answering(RawAnswer(start, b"\x02", pause=0.02)) as port:
        if proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")
        address = "files.example" if proxy else f"localhost:{port}"
        with pytest.raises(DownloadError, match=r"(took too long|no encrypted connection to the server), 5 times"):
            get(entry("a", f"https://{address}/a.bin", body=BODY))
