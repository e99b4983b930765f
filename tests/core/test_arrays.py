"""The .npz door: only arrays of numbers and text, no more memory than the archive announces and the file can hold."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from door_process import ACCEPTED, read_in_process

from closemesh.core.arrays import expect, npz_keys, read_npz, read_result_npz, read_unpickled_npz
from closemesh.core.errors import InputError

ARRAYS = {
    "floats": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.ones(3, np.float16),
    "long": np.ones(3, np.longdouble),
    "big_endian": np.arange(3, dtype=">i4"),
    "booleans": np.array([True, False]),
    "text": np.array(["дует", "b"]),
    "bytes": np.array([b"abc"]),
    "single": np.array(2.5),
    "empty": np.zeros((0, 10475, 3)),
    "complex": np.array([1j]),
}


def npy(header: str, content: bytes, version: int = 1) -> bytes:
    """An array in the .npy format with any header."""
    text = header.encode() + b"\n"
    length = struct.pack("<H", len(text)) if version == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + content


def header(descr: str = "'<f8'", shape: str = "(1,)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def archive(content: bytes, compression: int = zipfile.ZIP_DEFLATED, names: tuple[str, ...] = ("a.npy",)) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        for name in names:
            written.writestr(name, content)
    return file.getvalue()


def changed(whole: bytes, old: bytes, new: bytes) -> bytes:
    assert whole.count(old)
    return whole.replace(old, new)


EIGHT = bytes(8)
GOOD = archive(npy(header(), EIGHT), zipfile.ZIP_STORED)
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def in_directory(offset: int, value: bytes) -> bytes:
    """GOOD with other bytes in its entry of the central directory."""
    start = GOOD.index(CENTRAL) + offset
    return GOOD[:start] + value + GOOD[start + len(value) :]


HEADERS = {
    "objects": archive(npy(header("'|O'"), EIGHT)),
    "records": archive(npy(header("[('a', '<f4'), ('b', '<i4')]"), EIGHT)),
    "nothing": archive(npy(header("'|V8'"), EIGHT)),
    "dates": archive(npy(header("'<M8[s]'"), EIGHT)),
    "code": archive(npy("__import__('os').system('true')", EIGHT)),
    "open": archive(npy("{'descr': '''", EIGHT)),
    "brackets": archive(npy("(" * 9000, EIGHT)),
    "signs": archive(npy(header(shape="-" * 9000 + "1"), EIGHT)),
    "digits": archive(npy(header(shape="(" + "9" * 5000 + ",)"), EIGHT)),
    "huge": archive(npy(header(shape="(9999999999,)"), EIGHT)),
    "negative": archive(npy(header(shape="(-1,)"), EIGHT)),
    "empty_but_huge": archive(npy(header(shape="(0, 9999999999)"), b"")),
    "no_text": archive(npy(header("'<U0'", shape="(9999999999,)"), b"")),
    "more": archive(npy(header(), EIGHT * 2)),
    "less": archive(npy(header(), EIGHT[:4])),
    "booleans": archive(npy(header("'|b1'", "(8,)"), b"\x02" * 8)),
    "characters": archive(npy(header("'<U2'"), b"\xff" * 8)),
    "long_header": archive(b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b"{"),
    "version": archive(npy(header(), EIGHT, 9)),
    "no_array": archive(b"text"),
    "nothing_at_all": archive(b""),
}
ARCHIVES = {
    "no_zip": b"text",
    "cut": GOOD[:-30],
    "twice": archive(npy(header(), EIGHT), names=("a.npy", "b.npy")).replace(b"b.npy", b"a.npy"),
    "bzip2": archive(npy(header(), EIGHT), zipfile.ZIP_BZIP2),
    "lzma": archive(npy(header(), EIGHT), zipfile.ZIP_LZMA),
    "unknown_compression": in_directory(10, b"\x63\x00"),
    "unknown_version": in_directory(6, b"\xb7\x00"),
    "encrypted": in_directory(8, b"\x01\x00"),
    "checksum": in_directory(16, b"\x00\x01\x02\x03"),
    "announces_gigabytes": in_directory(24, b"\xff\xff\xff\x7f"),
    "holds_gigabytes": in_directory(20, b"\xff\xff\xff\x7f" * 2),
    "offset": in_directory(42, b"\xff\xff\xff\x0f"),
    "damaged": changed(archive(npy(header(shape="(100,)"), bytes(range(200)) * 4)), b"\x93"[:0] + CENTRAL, CENTRAL)[:60]
    + b"\xff" * 40
    + archive(npy(header(shape="(100,)"), bytes(range(200)) * 4))[100:],
}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_round_trip(tmp_path: Path, write) -> None:
    write(tmp_path / "a.npz", **ARRAYS)
    for read in (read_npz(tmp_path / "a.npz", tuple(ARRAYS)), read_unpickled_npz(tmp_path / "a.npz")):
        for name, array in read.items():
            np.testing.assert_array_equal(array, ARRAYS[name])
            assert array.dtype == ARRAYS[name].dtype and array.flags.writeable
            assert array.flags.f_contiguous == ARRAYS[name].flags.f_contiguous
    assert npz_keys(tmp_path / "a.npz") == set(ARRAYS) == set(read_result_npz(tmp_path / "a.npz"))


def test_headers_of_other_programs_are_read(tmp_path: Path) -> None:
    headers = {
        "python2.npy": "{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }   ",
        "other.npy": "{'shape': (1,),'fortran_order':False,'descr':'<f8'}",
    }
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name, text in headers.items():
            file.writestr(name, npy(text, struct.pack("<d", 2.5)))
        file.writestr("version3.npy", npy(header(), struct.pack("<d", 2.5), 3))
    read = read_result_npz(tmp_path / "a.npz")
    assert len(read) == 3 and all(array.tolist() == [2.5] for array in read.values())


@pytest.mark.parametrize("hostile", [HEADERS, ARCHIVES], ids=["headers", "archives"])
def test_hostile_archives_are_one_line(tmp_path: Path, hostile: dict[str, bytes]) -> None:
    files = {f"{name}.npz": content for name, content in hostile.items()}
    answers = read_in_process(tmp_path / "files", files, "closemesh.core.arrays:read_result_npz")
    assert [name for name, answer in answers.items() if answer == ACCEPTED] == []


def test_objects_and_records_are_left_out(tmp_path: Path) -> None:
    records = np.zeros(2, [("a", "f4"), ("b", "i4")])
    np.savez(tmp_path / "a.npz", a=np.zeros(2), objects=np.array([None], object), records=records)
    assert set(read_unpickled_npz(tmp_path / "a.npz")) == {"a"}
    with pytest.raises(InputError, match=r"a\.npz is damaged.*neither numbers nor text"):
        read_npz(tmp_path / "a.npz", ("records",))


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    zeros = npy(header(shape=f"({1 << 23},)"), bytes(8 << 23))
    (tmp_path / "a.npz").write_bytes(archive(zeros, names=tuple(f"{i}.npy" for i in range(12))))
    with pytest.raises(InputError, match="unpacks to more"):
        read_result_npz(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(archive(zeros))
    assert read_result_npz(tmp_path / "a.npz")["a"].shape == (1 << 23,)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "array",
    [
        np.zeros(2, [("a", "f4"), ("b", "i4")]),
        np.array(["1", "2"]),
        np.array([None, 1.0], object),
        np.array([1j, 2]),
        np.array([np.nan, 1]),
        np.array([np.inf, 1], np.float16),
        np.array([1e300, 1]),
        np.array([-1e30, 1], np.float32),
        np.array(["1e4000", "1"]).astype(np.longdouble),
        np.array([2**63, 1], np.uint64),
        np.zeros(3),
        np.array(1.0),
    ],
)
def test_what_are_no_numbers_of_a_recording_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"a\.npz: poses"):
        expect(Path("a.npz"), "poses", array, (2,))


def test_numbers_are_float64() -> None:
    for dtype in (np.float16, np.float32, np.longdouble, np.uint8, np.bool_, ">f4"):
        assert expect(Path("a.npz"), "poses", np.ones((2, 3), dtype), ("T", 3)).dtype == np.float64
