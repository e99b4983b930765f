"""A file is checked before it has its name, recorded once and the same ever after; one run at a time."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from downloading import Downloads
from file_server import FileServer, entry
from filelock import FileLock

from closemesh.core.errors import DownloadError, InputError, OutputError

BODY = b"weights " * 1000
OTHER = b"wrong!! " * 1000
ARCHIVE = {"file": "model_v1.zip", "member": "end2end.onnx"}


def zipped(body: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20231122/model/detail.json", "{}")
        archive.writestr("20231122/model/end2end.onnx", body)
    return buffer.getvalue()


def recorded(get: Downloads) -> dict[str, Any]:
    return json.loads((get.folder / "downloaded.json").read_text())


def test_wrong_bytes_never_get_the_name(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", OTHER)
    with pytest.raises(DownloadError, match=r"localhost: its sha256 [0-9a-f]{12}\.\.\. is not the published"):
        get(entry("a", server.url + "a.bin", body=BODY))
    assert get.present == set()


def test_a_wrong_size_is_an_error(server: FileServer, get: Downloads) -> None:
    server.serve("a.bin", BODY + b"!")
    with pytest.raises(DownloadError, match="8001 bytes came instead of 8000"):
        get(entry("a", server.url + "a.bin", body=BODY))
    assert get.present == set()


def test_an_unknown_hash_is_recorded_and_holds_ever_after(server: FileServer, get: Downloads) -> None:
    a = entry("a", server.url + "a.bin")
    server.serve("a.bin", BODY)
    [path] = get(a)
    assert "its hash was not known and is recorded" in get.progress.notes[0]
    assert recorded(get)["a"]["source"] == server.url + "a.bin"
    path.unlink()
    server.serve("a.bin", OTHER, etag='"second"')
    with pytest.raises(DownloadError, match=r"recorded the first time in .*downloaded\.json; if you trust the new"):
        get(a)
    assert get.present == set()
    server.serve("a.bin", BODY)
    assert get(a)[0].read_bytes() == BODY


def test_what_is_there_is_compared_and_not_fetched_again(server: FileServer, get: Downloads) -> None:
    a = entry("a", server.url + "a.bin", body=BODY)
    served = server.serve("a.bin", BODY)
    [path] = get(a)
    assert get(a) == [path]
    assert len(served.asked) == 1
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match=r"a\.bin exists, but its sha256 .* remove the file to download it again"):
        get(a)
    assert path.read_bytes() == OTHER, "a user's file is never removed"


def test_a_file_of_the_user_is_not_overwritten(server: FileServer, get: Downloads) -> None:
    path = get.folder / "some" / "a.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    served = server.serve("a.bin", BODY)
    with pytest.raises(
        DownloadError, match=r"a\.bin exists, but .* closemesh did not download it: move it, or .* --to"
    ):
        get(entry("a", server.url + "a.bin", body=BODY))
    assert path.read_bytes() == OTHER and served.asked == []


def test_a_file_put_there_by_hand_is_recorded(get: Downloads) -> None:
    path = get.folder / "some" / "a.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    assert get(entry("a", "http://localhost:9/a.bin")) == [path]
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match="recorded the first time"):
        get(entry("a", "http://localhost:9/a.bin"))


def test_one_that_cannot_be_had_does_not_keep_the_others(server: FileServer, get: Downloads) -> None:
    server.serve("b.bin", BODY)
    with pytest.raises(DownloadError, match=r"^a \(a.bin\)"):
        get(entry("a", server.url + "a.bin"), entry("b", server.url + "b.bin"), entry("c", server.url + "c.bin"))
    assert get.present == {"b.bin"}
    assert any(note.startswith("c (c.bin)") for note in get.progress.notes)


def test_a_file_comes_out_of_its_archive(server: FileServer, get: Downloads) -> None:
    archive = zipped(BODY)
    a = entry("a", server.url + "dl?file=model_v1.zip", body=archive, archive=ARCHIVE, file="some/a.onnx")
    server.serve("dl?file=model_v1.zip", archive)
    [path] = get(a)
    assert path.read_bytes() == BODY
    assert get.present == {"a.onnx"}
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError, match="recorded the first time"):
        get(a)


def test_an_archive_that_is_none(server: FileServer, get: Downloads) -> None:
    server.serve("a.zip", BODY)
    with pytest.raises(DownloadError, match=r"model_v1\.zip.* is no whole zip file"):
        get(entry("a", server.url + "a.zip", archive=ARCHIVE))
    assert get.present == set()
    assert not (get.folder / "downloaded.json").exists()


def test_from_a_folder(get: Downloads, tmp_path: Path) -> None:
    a, b = entry("a", "https://x.example/a.bin", body=BODY), entry("b", "https://x.example/b", archive=ARCHIVE)
    (tmp_path / "a.bin").write_bytes(BODY)
    (tmp_path / "model_v1.zip").write_bytes(zipped(BODY))
    assert [path.read_bytes() for path in get(a, b, local=tmp_path)] == [BODY, BODY]
    assert get.present == {"a.bin", "b.bin"}
    assert (tmp_path / "a.bin").exists()


def test_from_a_folder_unpacked_already(server: FileServer, get: Downloads, tmp_path: Path) -> None:
    a = entry("a", server.url + "a.zip", archive=ARCHIVE)
    (tmp_path / "a.bin").write_bytes(BODY)
    [path] = get(a, local=tmp_path)
    assert path.read_bytes() == BODY
    assert recorded(get)["a"]["sha256"] is None, "the archive was not seen"
    path.unlink()
    server.serve("a.zip", zipped(OTHER))
    with pytest.raises(DownloadError, match="recorded the first time"):
        get(a)
    server.serve("a.zip", zipped(BODY))
    assert get(a)[0].read_bytes() == BODY


def test_from_a_folder_that_has_it_not_or_wrong(get: Downloads, tmp_path: Path) -> None:
    a = entry("a", "https://x.example/a.bin", body=BODY)
    with pytest.raises(DownloadError, match=r"it is not in .*; put it there, from https://x\.example/a\.bin"):
        get(a, local=tmp_path)
    (tmp_path / "a.bin").write_bytes(OTHER)
    (get.folder / "some").mkdir(parents=True, exist_ok=True)
    (get.folder / "some" / "a.bin.part").write_bytes(BODY[:500])
    with pytest.raises(DownloadError, match="is not the published"):
        get(a, local=tmp_path)
    assert get.present == {"a.bin.part"}, "what a server gave of it stays"
    (tmp_path / "a.bin").write_bytes(BODY)
    get(a, local=tmp_path)
    assert get.present == {"a.bin"}


def test_two_runs_do_not_write_into_one_folder(server: FileServer, get: Downloads) -> None:
    get.folder.mkdir()
    server.serve("a.bin", BODY)
    with (
        FileLock(get.folder / ".download.lock"),
        pytest.raises(OutputError, match="another closemesh run is downloading into"),
    ):
        get(entry("a", server.url + "a.bin"))
    assert get(entry("a", server.url + "a.bin"))[0].read_bytes() == BODY


@pytest.mark.parametrize("known", [True, False])
def test_a_full_disk_is_an_error_before(
    server: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    served = server.serve("a.bin", BODY)
    usage = shutil.disk_usage(get.folder.parent)._replace(free=(16 << 20) + 1000)  # 16 MB are always kept free.
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match=r"a needs 0\.0 MB more and .* has 16\.8 MB free; free some space"):
        get(entry("a", server.url + "a.bin", body=BODY if known else None))
    assert len(served.asked) == (0 if known else 1), "a size that is known needs no question"
    assert get.present == set()


def test_a_disk_that_fills_up_meanwhile(server: FileServer, get: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, offset: int) -> None:
        raise OSError(28, "No space left on device")

    server.serve("a.bin", BODY)
    monkeypatch.setattr("closemesh.weights.transfer.PartialFile.open_at", full)
    with pytest.raises(OutputError, match=r"cannot write into .*: No space left on device; free some space"):
        get(entry("a", server.url + "a.bin"))


def test_a_folder_that_cannot_be_made(get: Downloads) -> None:
    get.folder.write_text("a file")
    with pytest.raises(OutputError, match="a file is in the way"):
        get(entry("a", "http://localhost:9/a.bin"))


GOOD = {"source": "x", "size": 7, "sha256": None, "file_sha256": "0" * 64}
BAD = [{"size": -1}, {"size": True}, {"size": "7"}, {"source": 7}, {"sha256": "x"}, {"file_sha256": None}, {"more": 1}]


@pytest.mark.parametrize(
    "text",
    ['{"a": {"sha256": ', "[]", "7", '{"a": 7}', '{"a": []}', "[" * 100_000, '{"a": NaN}', "\udcff"]
    + [json.dumps({"a": {**GOOD, **bad}}) for bad in BAD],
)
def test_a_damaged_record(get: Downloads, text: str) -> None:
    get.folder.mkdir()
    (get.folder / "downloaded.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"downloaded\.json is damaged; repair it, or remove it"):
        get(entry("a", "http://localhost:9/a.bin"))
