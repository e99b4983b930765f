"""Broken connections, busy servers, and servers that cannot go on in the middle."""

from __future__ import annotations

import random
import threading
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from downloading import Downloads, stop
from file_server import LOGIN_PAGE, FileServer, entry

from closemesh.core import http as connection
from closemesh.core.errors import DownloadError

BODY = random.Random(0).randbytes(700_000)
PIECE = 1 << 16  # What is read at a time.
OTHER = random.Random(1).randbytes(700_000)


def test_a_file_comes_whole(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", BODY)
    [path] = get(entry("a", server.url + "a.bin", body=BODY))
    assert path.read_bytes() == BODY
    assert get.present == {"a.bin"}


def test_a_broken_connection_goes_on_where_it_broke(server: FileServer, get: Downloads) -> None:
    served = server.serve("a.bin", BODY, cuts=[5 * PIECE, PIECE])
    [path] = get(entry("a", server.url + "a.bin", body=BODY))
    assert path.read_bytes() == BODY
    asked = [headers for _, headers in served.asked]
    assert [headers.get("Range") for headers in asked] == [None, f"bytes={5 * PIECE}-", f"bytes={6 * PIECE}-"]
    assert asked[1]["If-Range"] == '"first"'
    assert get.waits == [1.0, 1.0], "an attempt that brought something does not count"


def begin(server: FileServer, get: Downloads, **behavior: Any) -> dict[str, object]:
    """A run that is stopped when five pieces are there."""
    a = entry("a", server.url + "a.bin", **behavior)
    server.serve("a.bin", BODY, cuts=[5 * PIECE])
    get.sleep = stop
    with pytest.raises(KeyboardInterrupt):
        get(a)
    get.sleep = get.waits.append
    assert get.present == {"a.bin.part", "a.bin.part.json"}
    return a


def test_a_later_run_goes_on(server: FileServer, get: Downloads) -> None:
    a = begin(server, get)
    [path] = get(a)
    assert path.read_bytes() == BODY
    assert server.files["a.bin"].asked[-1][1]["Range"] == f"bytes={5 * PIECE}-"
    assert get.present == {"a.bin"}


def test_a_file_that_changed_meanwhile_begins_anew(server: FileServer, get: Downloads) -> None:
    a = begin(server, get)
    server.serve("a.bin", OTHER, etag='"second"')
    assert get(a)[0].read_bytes() == OTHER


def test_halves_of_two_versions_are_seen_by_the_hash(server: FileServer, get: Downloads) -> None:
    begin(server, get)
    served = server.serve("a.bin", OTHER, etag='"first"')  # The server is wrong about its tag.
    assert get(entry("a", server.url + "a.bin", body=OTHER))[0].read_bytes() == OTHER
    assert [headers.get("Range") for _, headers in served.asked] == [f"bytes={5 * PIECE}-", None]


def test_without_a_tag_and_a_hash_the_rest_is_not_joined_on(server: FileServer, get: Downloads) -> None:
    a = begin(server, get)
    (get.folder / "some" / "a.bin.part.json").unlink()
    served = server.serve("a.bin", BODY)
    assert get(a)[0].read_bytes() == BODY
    assert "Range" not in served.asked[0][1]


def test_a_server_that_knows_no_ranges_gives_it_anew(server: FileServer, get: Downloads) -> None:
    served = server.serve("a.bin", BODY, ranges=False, cuts=[5 * PIECE])
    assert get(entry("a", server.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert len(served.asked) == 2


def test_a_server_that_always_breaks_at_the_same_place_is_given_up(server: FileServer, get: Downloads) -> None:
    served = server.serve("a.bin", BODY, ranges=False, cuts=[5 * PIECE] * 20)
    with pytest.raises(DownloadError, match=r"a \(a.bin\): localhost: the connection broke, 5 times"):
        get(entry("a", server.url + "a.bin", body=BODY))
    assert len(served.asked) == 5
    assert get.waits == [1.0, 2.0, 4.0, 8.0]


def test_all_bytes_are_there_but_not_yet_checked(server: FileServer, get: Downloads) -> None:
    a = begin(server, get, body=BODY)
    (get.folder / "some" / "a.bin.part").write_bytes(BODY)
    assert get(a)[0].read_bytes() == BODY


def test_a_part_longer_than_the_file_is_dropped(server: FileServer, get: Downloads) -> None:
    a = begin(server, get, body=BODY)
    (get.folder / "some" / "a.bin.part").write_bytes(BODY + b"more")
    assert get(a)[0].read_bytes() == BODY


def test_retry_after_is_respected(server: FileServer, get: Downloads) -> None:
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=30), usegmt=True)
    busy = [(503, {"Retry-After": "7"}), (429, {"Retry-After": soon}), (500, {}), (502, {"Retry-After": "soon"})]
    server.serve("a.bin", BODY, answers=busy)
    assert get(entry("a", server.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert get.waits[0] == 7
    assert 25 <= get.waits[1] <= 30
    assert get.waits[2:] == [4.0, 8.0]
    assert "a from localhost: the server answered 503" in get.progress.notes[0]


def test_who_asks_for_an_hour_is_left(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", BODY, answers=[(503, {"Retry-After": "3600"})])
    with pytest.raises(DownloadError, match="come back in 3600 s"):
        get(entry("a", server.url + "a.bin"))
    assert get.waits == []


def test_what_is_not_there_is_not_tried_again(server: FileServer, get: Downloads) -> None:
    with pytest.raises(DownloadError, match=r"localhost: the server answered 404 Not Found; fetch gone.bin by hand"):
        get(entry("gone", server.url + "gone.bin"))
    assert get.waits == []
    assert get.present == set()


def test_no_server_at_all(get: Downloads) -> None:
    with pytest.raises(DownloadError, match="no connection to the server, 5 times"):
        get(entry("a", "http://localhost:9/a.bin"))
    assert get.waits == [1.0, 2.0, 4.0, 8.0]


def test_a_redirect_is_followed(server: FileServer, get: Downloads) -> None:
    server.serve("old.bin", BODY, answers=[(302, {"Location": server.url + "a.bin"})])
    server.serve("a.bin", BODY)
    assert get(entry("a", server.url + "old.bin", body=BODY))[0].read_bytes() == BODY


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_the_file(server: FileServer, get: Downloads, kind: str) -> None:
    server.serve("a.bin", LOGIN_PAGE, content_type=kind)
    with pytest.raises(DownloadError, match="a web page came instead of the file"):
        get(entry("a", server.url + "a.bin"))
    assert get.present == set()


def test_a_file_without_length_needs_a_hash(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", BODY, has_length=False)
    with pytest.raises(DownloadError, match="does not give the length of the file"):
        get(entry("a", server.url + "a.bin"))
    server.serve("b.bin", BODY, has_length=False, cuts=[5 * PIECE])
    with pytest.raises(DownloadError, match="327680 bytes came instead of 700000"):
        get(entry("b", server.url + "b.bin", body=BODY))
    assert get.present == set()
    assert get(entry("b", server.url + "b.bin", body=BODY))[0].read_bytes() == BODY


def test_the_next_source_is_tried_when_one_fails(server: FileServer, get: Downloads) -> None:
    server.serve("wrong.bin", OTHER)
    server.serve("right.bin", BODY)
    sources = [server.url + name for name in ("gone.bin", "wrong.bin", "right.bin")]
    assert get(entry("a", *sources, body=BODY))[0].read_bytes() == BODY
    assert [note.split("; ")[-1] for note in get.progress.notes] == ["trying the next source"] * 2


def test_half_of_one_source_goes_on_at_another_when_the_hash_is_known(server: FileServer, get: Downloads) -> None:
    begin(server, get)
    server.files.clear()
    served = server.serve("b.bin", BODY)
    assert get(entry("a", server.url + "a.bin", server.url + "b.bin", body=BODY))[0].read_bytes() == BODY
    assert served.asked[0][1]["Range"] == f"bytes={5 * PIECE}-"


def test_half_of_one_source_is_not_joined_to_another_of_unknown_hash(server: FileServer, get: Downloads) -> None:
    begin(server, get)
    server.files.clear()
    served = server.serve("b.bin", OTHER)
    assert get(entry("a", server.url + "b.bin"))[0].read_bytes() == OTHER
    assert "Range" not in served.asked[0][1]


@pytest.mark.parametrize("known", [True, False], ids=["hash known", "hash unknown"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_connection_that_is_cut_at_any_tenth(server: FileServer, get: Downloads, tenth: int, known: bool) -> None:
    served = server.serve("a.bin", BODY, cuts=[tenth * len(BODY) // 10])
    [path] = get(entry("a", server.url + "a.bin", body=BODY if known else None))
    assert path.read_bytes() == BODY
    assert get.present == {"a.bin"}
    ranges = [headers.get("Range") for _, headers in served.asked]
    present = tenth * len(BODY) // 10 // PIECE * PIECE
    assert ranges == [None, f"bytes={present}-" if present else None]


def test_a_connection_that_is_cut_at_every_tenth(server: FileServer, get: Downloads) -> None:
    """One cut after the other, each a tenth farther on."""
    server.serve("a.bin", BODY, cuts=[len(BODY) // 10] * 9)
    assert get(entry("a", server.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert get.present == {"a.bin"}


def test_a_slow_server_is_waited_for(server: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is for one chunk, not for the whole."""
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.6)
    monkeypatch.setattr(connection, "_CHUNK_SECONDS", 0.6)
    server.serve("a.bin", BODY, pause=0.1)
    assert get(entry("a", server.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert get.waits == []


def test_a_server_that_falls_silent_is_asked_again(
    server: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_HEADER_SECONDS", 0.2)
    monkeypatch.setattr(connection, "_CHUNK_SECONDS", 0.2)
    stall = threading.Event()
    served = server.serve("a.bin", BODY, cuts=[5 * PIECE], stall=stall)
    assert get(entry("a", server.url + "a.bin", body=BODY))[0].read_bytes() == BODY
    assert served.asked[-1][1]["Range"] == f"bytes={5 * PIECE}-"
    server.serve("b.bin", BODY, cuts=[0] * 9, stall=stall)
    with pytest.raises(DownloadError, match=r"b \(b.bin\): localhost: the server .*(answer|long), 5 times"):
        get(entry("b", server.url + "b.bin", body=BODY))
    assert not (get.folder / "some" / "b.bin").exists()
    stall.set()
