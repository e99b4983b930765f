"""An archive that wants more than to give one file is refused as a whole."""

from __future__ import annotations

import random
import stat
import zipfile
from pathlib import Path

import pytest

from closemesh.core.errors import DownloadError
from closemesh.weights.verify import unpack_member


def make(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def refused(archive: Path, tmp_path: Path, expected: str, **options: int) -> None:
    before = set(tmp_path.parent.rglob("*"))
    with pytest.raises(DownloadError, match=expected):
        unpack_member(archive, "model.npz", tmp_path / "target.npz", **options)
    assert set(tmp_path.parent.rglob("*")) == before, "nothing is left behind"


def test_the_member_is_found_by_the_end_of_its_path(tmp_path: Path) -> None:
    members = {"a/smpl/model.npz": b"1", "a/smplx/model.npz": b"2", "a/smplx/model.npz.txt": b"3"}
    archive = make(tmp_path / "a.zip", **members)
    unpack_member(archive, "smplx/model.npz", tmp_path / "target.npz")
    assert (tmp_path / "target.npz").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../model.npz", "/tmp/model.npz", "a/../../model.npz", "..\\model.npz", "C:\\m.npz"])
def test_paths_that_lead_out(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / "a.zip", **{"model.npz": b"good", name: b"bad"})
    refused(archive, tmp_path, "leads out of the archive; get the archive from its publisher")


def test_links(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("model.npz")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path, "is a link")


def test_bombs(tmp_path: Path) -> None:
    refused(make(tmp_path / "a.zip", **{"model.npz": bytes(2_000_000)}), tmp_path, "more than any", max_bytes=1_000_000)


@pytest.mark.parametrize("names", [["other.npz"], ["a/model.npz", "b/model.npz"]])
def test_not_one(tmp_path: Path, names: list[str]) -> None:
    archive = make(tmp_path / "a.zip", **{name: b"1" for name in names})
    refused(archive, tmp_path, r"a\.zip has (no|2) files model\.npz, not one")


def test_half_an_archive(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", **{"model.npz": bytes(range(256)) * 100})
    archive.write_bytes(archive.read_bytes()[:-30])
    refused(archive, tmp_path, "is no whole zip file")


def test_a_flipped_bit(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model.npz", b"0123456789" * 100)
    body = bytearray((tmp_path / "a.zip").read_bytes())
    body[500] ^= 1
    (tmp_path / "a.zip").write_bytes(body)
    refused(tmp_path / "a.zip", tmp_path, "is no whole zip file")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_whole_blocks(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("model.npz", bytes(1_000_000))
    refused(tmp_path / "a.zip", tmp_path, "is compressed in an unusual way")


def test_encrypted_entries(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", **{"model.npz": b"1"})
    body = bytearray(archive.read_bytes())
    body[body.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(body)
    refused(archive, tmp_path, "is encrypted")


@pytest.mark.parametrize("size", [10, 200_000, 0xFFFFFFF0])
def test_a_size_that_is_wrong(tmp_path: Path, size: int) -> None:
    """Neither more than the entry declares nor a shorter file with its name."""
    archive = make(tmp_path / "a.zip", **{"model.npz": bytes(100_000)})
    body = bytearray(archive.read_bytes())
    place = body.index(b"PK\x01\x02") + 24
    body[place : place + 4] = size.to_bytes(4, "little")
    archive.write_bytes(body)
    refused(archive, tmp_path, "is no whole zip file|more than any model file", max_bytes=1_000_000)


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model.npz", b"1")
        archive.writestr("model.npz", b"2")
    refused(tmp_path / "a.zip", tmp_path, "has 2 files model.npz, not one")


def test_a_name_of_an_entry_is_shown_without_its_control_characters(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", **{"../\x1b[2J" + "a" * 1000: b"1"})
    with pytest.raises(DownloadError) as fault:
        unpack_member(archive, "model.npz", tmp_path / "target.npz")
    assert str(fault.value).isprintable() and len(str(fault.value)) < 300


def test_damaged_bytes_anywhere(tmp_path: Path) -> None:
    source = random.Random(0)
    good = make(tmp_path / "a.zip", **{"model.npz": source.randbytes(500), "b": b"2"}).read_bytes()
    for _ in range(300):
        body = bytearray(good)
        for _ in range(source.choice([1, 1, 5])):
            body[source.randrange(len(body))] = source.randrange(256)
        (tmp_path / "a.zip").write_bytes(body[: source.choice([None, None, source.randrange(len(body))])])
        try:
            unpack_member(tmp_path / "a.zip", "model.npz", tmp_path / "target.npz", max_bytes=1_000_000)
        except DownloadError as fault:
            assert str(fault).isprintable()
            assert not (tmp_path / "target.npz").exists()
        (tmp_path / "target.npz").unlink(missing_ok=True)
