"""Whatever a file server sends, the right file arrives or none, with one line as an error, in time."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from downloading import Downloads, stop
from file_server import FileServer, Rest, Served, entry
from raw_answer import BROKEN, ENDLESS, RawAnswer

from closemesh.core import http as connection
from closemesh.core.errors import ClosemeshError, DownloadError

CHUNK = 1 << 16
HERE = 2 * CHUNK
BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
END = len(BODY)
HANGS = 20.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 2.0)
    monkeypatch.setattr(connection, "_CHUNK_SECONDS", 2.0)


def begin(server: FileServer, get: Downloads, **options: Any) -> Served:
    """A run that is stopped when two chunks are there."""
    served = server.serve("a.bin", BODY, cuts=[HERE], **options)
    get.sleep = stop
    with pytest.raises(KeyboardInterrupt):
        get(entry("a", server.url + "a.bin"))
    get.sleep = get.waits.append
    return served


def outcome(get: Downloads, *entries: dict[str, Any]) -> bytes | str:
    """The file, or the error; checks what always holds."""
    began = time.monotonic()
    try:
        [path] = get(*entries)
        result: bytes | str = path.read_bytes()
        assert not [name for name in get.present if ".part" in name]
    except DownloadError as error:
        result = str(error)
        assert result.isprintable() and len(result) < 600
        assert not (get.folder / "some" / "a.bin").exists()
    assert time.monotonic() - began < HANGS
    return result


def content_range(begin: int = HERE, end: int = END - 1, total: int | str = END) -> dict[str, str]:
    return {"Content-Range": f"bytes {begin}-{end}/{total}"}


TAG = {"ETag": '"first"'}
WRONG_RESTS = {
    "another tag": Rest(OTHER[HERE:], {**content_range(), "ETag": '"second"'}),
    "a weak tag": Rest(OTHER[HERE:], {**content_range(), "ETag": 'W/"first"'}),
    "no tag": Rest(OTHER[HERE:], content_range()),
    "a total that grew": Rest(OTHER[HERE:] + b"!", {**content_range(end=END, total=END + 1), **TAG}),
    "a total that shrank": Rest(OTHER[HERE:-1], {**content_range(end=END - 2, total=END - 1), **TAG}),
    "a total that is not given": Rest(OTHER[HERE : HERE + 7], {**content_range(end=HERE + 6, total="*"), **TAG}),
    "another place": Rest(OTHER[HERE + 1 :], {**content_range(begin=HERE + 1), **TAG}),
    "the beginning": Rest(OTHER, {**content_range(begin=0), **TAG}),
    "an end before its beginning": Rest(b"", {**content_range(end=HERE - 1), **TAG}),
    "an end behind the file": Rest(OTHER[HERE:] + b"!", {**content_range(end=END), **TAG}),
    "no place": Rest(OTHER[HERE:], TAG),
    "several parts": Rest(OTHER[HERE:], {"Content-Type": "multipart/byteranges; boundary=x", **TAG}),
    "digits that are none": Rest(OTHER[HERE:], {"Content-Range": f"bytes {HERE}-\xb2/{END}", **TAG}),
    "numbers of 5000 digits": Rest(OTHER[HERE:], {"Content-Range": f"bytes {HERE}-{'9' * 5000}/*", **TAG}),
    "nothing more": Rest(b"", {"Content-Range": f"bytes */{HERE}"}, status=416),
    "another length": Rest(b"", {"Content-Range": "bytes */7"}, status=416),
    "no length": Rest(b"", {}, status=416),
}


@pytest.mark.parametrize("name", WRONG_RESTS)
def test_a_wrong_rest_is_not_joined_on(server: FileServer, get: Downloads, name: str) -> None:
    begin(server, get)
    served = server.serve("a.bin", OTHER, etag='"second"', rests=[WRONG_RESTS[name]])
    assert outcome(get, entry("a", server.url + "a.bin")) == OTHER
    assert [headers.get("Range") for _, headers in served.asked] == [f"bytes={HERE}-", None]


def test_a_rest_by_date_may_come_without_it_but_not_with_another(server: FileServer, get: Downloads) -> None:
    """The date is compared when there is no tag."""
    date, later = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {END}\r\nLast-Modified: {date}\r\n\r\n".encode()
    for found, expected in (({}, BODY), ({"Last-Modified": date}, BODY), ({"Last-Modified": later}, OTHER)):
        get.folder = get.folder.with_name(f"models {found}")
        server.serve("a.bin", BODY, raw=[RawAnswer(head + BODY[:HERE])])
        get.sleep = stop
        with pytest.raises(KeyboardInterrupt):
            get(entry("a", server.url + "a.bin"))
        get.sleep = get.waits.append
        served = server.serve("a.bin", OTHER, rests=[Rest(BODY[HERE:], {**content_range(), **found})])
        assert outcome(get, entry("a", server.url + "a.bin")) == expected
        assert served.asked[0][1]["If-Range"] == date


def test_a_rest_in_pieces_is_joined(server: FileServer, get: Downloads) -> None:
    begin(server, get)
    middle = HERE + CHUNK
    first = Rest(BODY[HERE:middle], {**content_range(end=middle - 1), **TAG})
    second = Rest(BODY[middle:], {**content_range(begin=middle), **TAG})
    served = server.serve("a.bin", BODY, rests=[first, second])
    assert outcome(get, entry("a", server.url + "a.bin")) == BODY
    assert len(served.asked) == 2


def test_a_server_that_gives_single_bytes_is_given_up(server: FileServer, get: Downloads) -> None:
    begin(server, get)
    rests = [Rest(BODY[i : i + 1], {**content_range(begin=i, end=i), **TAG}) for i in range(HERE, HERE + 100)]
    served = server.serve("a.bin", BODY, rests=rests)
    assert "the connection ended early, 5 times" in str(outcome(get, entry("a", server.url + "a.bin")))
    assert len(served.asked) == 5


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_an_error(server: FileServer, get: Downloads, name: str, known: bool) -> None:
    server.serve("a.bin", BODY, raw=[BROKEN[name]] * 99)
    found = outcome(get, entry("a", server.url + "a.bin", body=BODY if known else None))
    assert isinstance(found, str) or (found == b"{}" and not known)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_cut(
    server: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch, name: str, known: bool
) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.15)
    monkeypatch.setattr(connection, "_CHUNK_SECONDS", 0.15)
    monkeypatch.setattr("closemesh.weights.transfer.MAX_DOWNLOAD", 1_000_000)
    server.serve("a.bin", BODY, raw=[ENDLESS[name]] * 9)
    assert isinstance(outcome(get, entry("a", server.url + "a.bin", body=BODY if known else None)), str)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("Content-Length: 0", "the server sends an empty file"),
        ("Content-Length: 999999999999999", "bytes came instead of"),
        ("Content-Length: 300001", "300001 bytes came instead of 300000"),
        ("Content-Encoding: gzip\r\nContent-Length: 300000", "sends the file compressed"),
        ("Content-Encoding: br\r\nContent-Length: 300000", "sends the file compressed"),
    ],
)
def test_lengths_that_are_wrong(server: FileServer, get: Downloads, head: str, message: str) -> None:
    server.serve("a.bin", BODY, raw=[RawAnswer(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + BODY)] * 9)
    assert message in str(outcome(get, entry("a", server.url + "a.bin", body=BODY)))


REDIRECTS = {
    "itself": "{url}a.bin",
    "a file": "file:///etc/passwd",
    "ftp": "ftp://localhost/a.bin",
    "no host": "http:///a.bin",
    "data": "data:text/plain,a",
    "a port that is none": "http://localhost:99999999/a.bin",
    "brackets": "http://[::1/a.bin",
    "control characters": "http://loc\x1balhost/\x9ba",
}


@pytest.mark.parametrize("name", REDIRECTS)
def test_redirects_that_lead_nowhere(server: FileServer, get: Downloads, name: str) -> None:
    location = {"Location": REDIRECTS[name].format(url=server.url)}
    served = server.serve("a.bin", BODY, answers=[(302, location)] * 99)
    assert isinstance(outcome(get, entry("a", server.url + "a.bin", body=BODY)), str)
    assert len(served.asked) <= 11 * 5


def test_a_reason_of_a_server_is_one_short_line(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", BODY, raw=[RawAnswer(b"HTTP/1.1 404 \x1b[2J\x9bgone" + b"!" * 900 + b"\r\n\r\n")])
    found = str(outcome(get, entry("a", server.url + "a.bin", body=BODY)))
    assert "the server answered 404 [2J gone!!!" in found and "\x1b" not in found


def test_a_token_in_an_address_is_not_shown_and_not_recorded(server: FileServer, get: Downloads) -> None:
    secret = "abcDEF0123456789"
    server.serve(f"a.bin?token={secret}", BODY, raw=[RawAnswer(f"HTTP/1.1 404 no {secret}\r\n\r\n".encode())])
    a = entry("a", f"{server.url}a.bin?token={secret}")
    assert "the server answered 404 no ***" in str(outcome(get, a))
    assert outcome(get, a) == BODY
    assert secret not in (get.folder / "downloaded.json").read_text()
    with pytest.raises(DownloadError, match=r"token=\*\*\*"):
        get({**a, "file": "some/b.bin"}, local=get.folder)


@pytest.mark.parametrize("suffix", [".part", ".part.json"])
def test_links_are_not_written_through(server: FileServer, get: Downloads, tmp_path: Path, suffix: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (get.folder / "some").mkdir(parents=True)
    (get.folder / "some" / f"a.bin{suffix}").symlink_to(precious)
    server.serve("a.bin", BODY)
    assert "is no plain file; remove it" in str(outcome(get, entry("a", server.url + "a.bin", body=BODY)))
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("kind", ["a link to nowhere", "a folder"])
def test_what_is_in_the_place_of_the_file_stays(server: FileServer, get: Downloads, tmp_path: Path, kind: str) -> None:
    target = get.folder / "some" / "a.bin"
    target.parent.mkdir(parents=True)
    target.symlink_to(tmp_path / "nowhere") if kind == "a link to nowhere" else target.mkdir()
    server.serve("a.bin", BODY)
    with pytest.raises(DownloadError, match=r"is there already, and closemesh did not download it; move it, or .*--to"):
        get(entry("a", server.url + "a.bin", body=BODY))
    assert target.is_symlink() or target.is_dir()
    assert not (tmp_path / "nowhere").exists()


def test_links_in_the_place_of_other_files_are_replaced(server: FileServer, get: Downloads, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (get.folder / "some").mkdir(parents=True)
    for name in ("some/.a.bin.copy", "some/.a.bin.unpacked", ".downloaded.json.part"):
        (get.folder / name).symlink_to(precious)
    (tmp_path / "a.bin").write_bytes(BODY)
    assert get(entry("a", server.url + "a.bin", body=BODY), local=tmp_path)[0].read_bytes() == BODY
    assert precious.read_text() == "mine"


DAMAGED_RECORDS = (
    *("", "[]", "7", "[" * 100_000, '{"url": 7, "validator": 7}'),
    '{"url": "%", "validator": ["a"], "total": "9"}',
    '{"url": "%", "validator": "a\\r\\nX: y", "total": -1}',
    '{"url": "%", "validator": "\\u00e9", "total": 1e999}',
)


@pytest.mark.parametrize("record", DAMAGED_RECORDS)
def test_a_damaged_record_of_a_part_is_no_record(server: FileServer, get: Downloads, record: str) -> None:
    begin(server, get)
    path = get.folder / "some" / "a.bin.part.json"
    path.write_text(record.replace("%", server.url + "a.bin"))
    served = server.serve("a.bin", OTHER)
    assert outcome(get, entry("a", server.url + "a.bin")) == OTHER
    assert "Range" not in served.asked[0][1]


def random_rest(source: random.Random) -> Rest:
    place, end = HERE + source.choice([0, 0, 0, 1, -1]), END - 1 + source.choice([0, 0, -CHUNK, 1])
    headers = content_range(place, end, source.choice([END, END, END - 1, "*", 7]))
    headers |= source.choice([TAG, TAG, {"ETag": '"second"'}, {}])
    wrong = [{"Content-Length": "5"}, {"Content-Encoding": "gzip"}, {"Content-Type": "text/html"}]
    headers |= source.choice([{}, {}, *wrong])
    return Rest(source.choice([BODY, OTHER])[place : end + 1], headers, source.choice([206, 206, 206, 416, 200, 204]))


@pytest.mark.parametrize("seed", range(3))
def test_random_lies(server: FileServer, get: Downloads, seed: int) -> None:
    """With a known hash the file is right or absent."""
    source = random.Random(seed)
    for number in range(20):
        get.folder = get.folder.with_name(f"models {number}")
        begin(server, get)
        raw = [source.choice(list(BROKEN.values())) for _ in range(source.randrange(3))]
        rests = [random_rest(source) for _ in range(4)]
        cuts = [source.randrange(END) for _ in range(source.randrange(3))]
        server.serve("a.bin", source.choice([BODY, BODY, OTHER]), raw=raw, rests=rests, cuts=cuts)
        try:
            found = outcome(get, entry("a", server.url + "a.bin", body=BODY))
        except ClosemeshError as error:
            found = str(error)
        assert isinstance(found, str) or found == BODY
