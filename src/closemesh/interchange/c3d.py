"""C3D (c3d.org): marker positions in the binary format of motion capture. Millimeters, floating point, Intel order."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from closemesh.interchange.markers import MarkerTrack, marker_tracks
from closemesh.interchange.scene import ExportedScene, UpAxis

_BLOCK = 512
_FIRST_PARAMETER_BLOCK = 2
_MAGIC, _INTEL = 0x50, 84
_CHARACTERS, _INTEGERS, _REALS = -1, 2, 4
_MOST_FRAMES = 65535  # Of the header; the group TRIAL has the true number.
_VALID, _MISSING = 0.0, -1.0  # Residuals.


def write_c3d(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/person_00.c3d and so on, at a constant rate. The folder exists.

    Markers of a person who is not valid in a frame have residual -1, which means missing.
    """
    for track in marker_tracks(scene):
        # The position of the data does not change the length of the parameters.
        blocks = len(_parameters(track, scene.up, 0)) // _BLOCK
        first_data_block = _FIRST_PARAMETER_BLOCK + blocks
        parts = (_header(track, first_data_block), _parameters(track, scene.up, first_data_block), _data(track))
        (folder / f"{track.name}.c3d").write_bytes(b"".join(parts))


def _header(track: MarkerTrack, first_data_block: int) -> bytes:
    frames, markers = track.positions.shape[:2]
    head = struct.pack("<BBHHHHH", _FIRST_PARAMETER_BLOCK, _MAGIC, markers, 0, 1, min(frames, _MOST_FRAMES), 0)
    return _padded(head + struct.pack("<fHHf", -1.0, first_data_block, 0, track.rate))


def _parameters(track: MarkerTrack, up: UpAxis, first_data_block: int) -> bytes:
    frames, markers = track.positions.shape[:2]
    body = b"".join(
        (
            _group(1, "POINT"),
            _integers(1, "USED", markers),
            _reals(1, "SCALE", -1.0),  # Negative: the data are real numbers.
            _reals(1, "RATE", track.rate),
            _integers(1, "DATA_START", first_data_block),
            _integers(1, "FRAMES", min(frames, _MOST_FRAMES)),
            _texts(1, "UNITS", "mm"),
            _texts(1, "X_SCREEN", "+X"),
            _texts(1, "Y_SCREEN", f"+{up.upper()}"),
            _texts(1, "LABELS", track.labels),
            _texts(1, "DESCRIPTIONS", track.labels),
            _group(2, "ANALOG"),
            _integers(2, "USED", 0),
            _group(3, "TRIAL"),
            _long_integer(3, "ACTUAL_START_FIELD", 1),
            _long_integer(3, "ACTUAL_END_FIELD", frames),
            _group(4, "MANUFACTURER"),
            _texts(4, "SOFTWARE", "closemesh"),
            b"\0\0",
        )
    )
    blocks = -(-(len(body) + 4) // _BLOCK)
    return _padded(struct.pack("<BBBB", 1, _MAGIC, blocks, _INTEL) + body)


def _group(number: int, name: str) -> bytes:
    return struct.pack("<bb", len(name), -number) + name.encode("ascii") + struct.pack("<hB", 3, 0)


def _parameter(group: int, name: str, kind: int, shape: Sequence[int], data: bytes) -> bytes:
    """A parameter with an empty description; shape: its dimensions, the fastest first."""
    content = struct.pack("<bB", kind, len(shape)) + bytes(shape) + data + b"\0"
    return struct.pack("<bb", len(name), group) + name.encode("ascii") + struct.pack("<h", 2 + len(content)) + content


def _integers(group: int, name: str, value: int) -> bytes:
    return _parameter(group, name, _INTEGERS, (), struct.pack("<H", value))


def _long_integer(group: int, name: str, value: int) -> bytes:
    """A number of 32 bits as two of 16, the low one first."""
    return _parameter(group, name, _INTEGERS, (2,), struct.pack("<I", value))


def _reals(group: int, name: str, value: float) -> bytes:
    return _parameter(group, name, _REALS, (), struct.pack("<f", value))


def _texts(group: int, name: str, texts: str | Sequence[str]) -> bytes:
    """One text, or several that are padded to one length."""
    if isinstance(texts, str):
        return _parameter(group, name, _CHARACTERS, (len(texts),), texts.encode("ascii"))
    width = max(map(len, texts))
    data = "".join(text.ljust(width) for text in texts).encode("ascii")
    return _parameter(group, name, _CHARACTERS, (width, len(texts)), data)


def _data(track: MarkerTrack) -> bytes:
    """x, y, z and residual of every marker in every frame."""
    missing = np.isnan(track.positions).any(axis=-1, keepdims=True)
    residuals = np.where(missing, _MISSING, _VALID)
    positions = np.where(missing, 0.0, track.positions)
    return _padded(np.concatenate([positions, residuals], axis=-1).astype("<f4").tobytes())


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
