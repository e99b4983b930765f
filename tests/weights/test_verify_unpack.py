"""An archive that wants more than to give one file is refused as a whole."""

from __future__ import annotations

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
