"""Damage of files as bytes: single bytes, words of text, fields of zip archives and headers of npy arrays."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

Mutator = Callable[[bytes, Random], bytes]

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63, 2**64 - 1)
_WORDS = (
    *(b"nan", b"inf", b"-inf", b"NaN", b"Infinity", b"1e400", b"1e308", b"-1e308", b"1e-320", b"-1", b"0", b"0.5"),
    *(
        b"9" * 30,
        b"9" * 400,
        b"9" * 5000,
        b"-" + b"9" * 400,
        b"1e99999",
        b"0x10",
        b"1_0",
        b"true",
        b"null",
        b"{}",
        b"[]",
    ),
    *(
        b'"x"',
        b'""',
        b"",
        b"x",
        b"\xff\xfe",
        b"\x00",
        b"\x1b[31m",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\r",
        b"}",
        b"{",
        b"]",
        b"[",
    ),
    *(b"[" * 3000, b"[" * 200000, b'{"a":' * 3000, b"{" * 3000, b"\xd9\xa3", b"\xc2\xb2", b"A" * 3000),
)
_TOKEN = re.compile(rb'"[^"\n]*"|[-+.\w]+|[^\s\w]')


def flip_bytes(data: bytes, random: Random) -> bytes:
    """Some bits or bytes changed."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 32))):
        if changed:
            place = random.randrange(len(changed))
            changed[place] = random.choice((changed[place] ^ 1 << random.randrange(8), random.randrange(256), 0, 255))
    return bytes(changed)


def move_bytes(data: bytes, random: Random) -> bytes:
    """A piece inserted, removed, repeated, moved or cut off."""
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.choice((1, 2, 4, 8, 64, 1024)))
    piece = data[start:end]
    kind = random.randrange(6)
    if kind == 0:
        return data[:start] + random.randbytes(random.choice((1, 4, 32))) + data[start:]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:start] + piece * random.choice((2, 3, 100)) + data[end:]
    if kind == 3:
        return data[:start]
    if kind == 4:
        return data[:start] + data[random.randrange(len(data) + 1) :]
    other = random.randrange(len(data) + 1)
    return data[:other] + piece + data[other:]


def set_integer(data: bytes, random: Random) -> bytes:
    """An integer of one to eight bytes replaced by one at a limit."""
    size = random.choice((1, 2, 4, 8))
    place = random.randrange(max(len(data) - size, 1))
    value = random.choice(_NUMBERS) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, random.choice(("little", "big"))) + data[place + size :]


def change_words(data: bytes, random: Random) -> bytes:
    """Words of a text replaced, or its lines moved, repeated or removed."""
    if random.random() < 0.25:
        lines = data.split(b"\n")
        place = random.randrange(len(lines))
        line = lines.pop(place)
        if random.random() < 0.7:
            lines[random.randrange(len(lines) + 1) : 0] = [line] * random.choice((1, 2, 50))
        return b"\n".join(lines)
    tokens = list(_TOKEN.finditer(data[:200_000]))
    for _ in range(random.choice((1, 1, 1, 2))):
        if tokens:
            token = random.choice(tokens)
            others = (*_WORDS, random.choice(tokens)[0])
            data = data[: token.start()] + random.choice(others) + data[token.end() :]
    return data


# Signature and fields by offset and size: versions, flags, method, CRC, sizes, lengths, offsets.
_ZIP_FIELDS = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (34, 2), (42, 4)),
    b"PK\x05\x06": ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}


def change_zip(data: bytes, random: Random) -> bytes:
    """Fields of the headers of a zip archive changed: version, encryption, method, CRC, sizes."""
    changed = bytearray(data)
    heads = [(found.start(), found[0]) for found in re.finditer(b"PK(\x03\x04|\x01\x02|\x05\x06)", data)]
    for _ in range(random.choice((1, 1, 3))):
        if not heads:
            return data
        place, kind = random.choice(heads)
        offset, size = random.choice(_ZIP_FIELDS[kind])
        value = random.choice((*_NUMBERS, random.randrange(100))) % (1 << 8 * size)
        if place + offset + size <= len(changed):
            changed[place + offset : place + offset + size] = value.to_bytes(size, "little")
    return bytes(changed)


_DTYPES = (
    *("'|O'", "'<f8'", "'<f4'", "'>f8'", "'<i8'", "'<u1'", "'|b1'", "'<c16'", "'<M8[s]'", "'<m8'", "'|V8'", "'<U5'"),
    *("'|S3'", "'<f2'", "[('a', '<f4'), ('b', '<i4')]", "[('a', '|O')]", "('<f8', (2, 2))", "'x'", "None", "'|S0'"),
)
_SHAPES = (
    *("()", "(0,)", "(-1,)", "(1,)", "(9999999999,)", "(99999, 99999, 99999)", "(2**62, 8)", "(1.5,)", "('a',)", "5"),
    *("(0, 9999999999)", "(True,)", f"({'1, ' * 70})", f"({'9' * 400},)", "(((", "(1", "None", "[2, 2]", "(3, 3)"),
)


def change_npy(data: bytes, random: Random) -> bytes:
    """Another dtype, shape, order, version or text in the header of an npy array."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        return flip_bytes(data, random)
    length = struct.unpack("<H", data[8:10])[0]
    text, numbers = data[10 : 10 + length].decode("latin1").strip(), data[10 + length :]
    kind = random.randrange(6)
    if kind < 2:
        text = re.sub(r"'descr': .*?, 'f", lambda _: f"'descr': {random.choice(_DTYPES)}, 'f", text)
    if kind in (1, 2, 3):
        text = re.sub(r"'shape': \(.*?\)", lambda _: f"'shape': {random.choice(_SHAPES)}", text)
    if kind == 4:
        text = change_words(text.encode("latin1"), random).decode("latin1")
    if kind == 5:
        numbers = move_bytes(numbers, random)
    version = random.choice((b"\x01\x00",) * 8 + (b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    head = text.encode("latin1")[:60_000] + b"\n"
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(head))
    return b"\x93NUMPY" + version + size + head + numbers


def in_zip(mutate: Mutator) -> Mutator:
    """`mutate` for one member of an archive, which stays valid; sometimes that member gets another name."""

    def change(data: bytes, random: Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        place = random.randrange(len(members))
        name, content = members[place]
        if random.random() < 0.05:
            name = random.choice(("x.npy", "../x.npy", "a" * 300, members[0][0]))
        members[place] = name, mutate(content, random)
        file = io.BytesIO()
        method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(file, "w", method) as archive:
            for member in members:
                archive.writestr(*member)
        return file.getvalue()

    return change


def in_zlib(mutate: Mutator) -> Mutator:
    """`mutate` for what a stream of zlib holds; other data is changed as it is."""

    def change(data: bytes, random: Random) -> bytes:
        if data[:1] != b"\x78":
            return mutate(data, random)
        return zlib.compress(mutate(zlib.decompress(data), random), 1)

    return change


BYTES: tuple[Mutator, ...] = (flip_bytes, move_bytes, set_integer)
