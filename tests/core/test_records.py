"""Records come back from their files as they were."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.errors import InputError, OutputError
from closemesh.core.records import load_record, read_json, save_record, write_json
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, Clip, Contact, PairContacts

CLIP = Clip(Path("a folder/дует.mp4"), "00ff", np.arange(3), np.array([0, 0.1, 0.25]), (64, 48), 12.5)
CAMERA = Camera(500.0, (32.5, 24.0), (64, 48), "sidecar", np.tile(np.eye(4), (3, 1, 1)), True)
CONTACT = Contact(0, 1, "left_hand", "right_shoulder", 1, 2, 0.0, 0.004)
PAIR = PairContacts(0, 1, np.array([np.nan, 0.1, 0.0]), np.zeros(3, np.float32), (CONTACT, CONTACT))


@dataclass(frozen=True)
class Odd:
    nothing: float | None
    places: tuple[Path, ...]
    nested: tuple[tuple[int, int], ...] | None
    flag: np.bool_
    empty: np.ndarray


ODD = Odd(None, (Path("x"), Path("y")), ((1, 2), (3, 4)), np.True_, np.zeros((0, 3), np.float16))


@pytest.mark.parametrize("record", [CLIP, CAMERA, PAIR, ODD], ids=lambda record: type(record).__name__)
def test_round_trip(record: object, tmp_path: Path) -> None:
    save_record(tmp_path / "r.npz", record)
    loaded = load_record(tmp_path / "r.npz", type(record))
    assert type(loaded) is type(record)
    for field in fields(record):  # type: ignore[arg-type]
        before, after = getattr(record, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype
        else:
            assert after == before
            assert isinstance(before, np.bool_) or type(after) is type(before)


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_record(tmp_path / name, CLIP)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_another_kind_is_refused(tmp_path: Path) -> None:
    save_record(tmp_path / "r.npz", CLIP)
    with pytest.raises(InputError, match="holds Clip, not Camera"):
        load_record(tmp_path / "r.npz", Camera)


def test_a_missing_field_is_an_error(tmp_path: Path) -> None:
    save_record(tmp_path / "r.npz", CLIP)
    with np.load(tmp_path / "r.npz") as file:
        np.savez(tmp_path / "r.npz", record=file["record"], times=file["times"])
    with pytest.raises(InputError, match="another version"):
        load_record(tmp_path / "r.npz", Clip)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_damaged_files_give_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "r.npz").write_bytes(content)
    with pytest.raises(InputError, match="damaged") as caught:
        load_record(tmp_path / "r.npz", Clip)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_damaged(tmp_path: Path) -> None:
    save_record(tmp_path / "r.npz", CLIP)
    whole = (tmp_path / "r.npz").read_bytes()
    (tmp_path / "r.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_record(tmp_path / "r.npz", Clip)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", record=np.array({"a": 1}, dtype=object))
    with pytest.raises(InputError, match="damaged"):
        load_record(tmp_path / "r.npz", Clip)


def test_other_npz_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", poses=np.zeros(3))
    with pytest.raises(InputError, match="not a file of closemesh"):
        load_record(tmp_path / "r.npz", Clip)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"r\.npz not found"):
        load_record(tmp_path / "r.npz", Clip)


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_record(tmp_path / "out" / "r.npz", CLIP)


MOTION = BodyMotion(
    "body",
    np.zeros((2, 10)),
    np.tile(np.eye(3), (3, 2, 55, 1, 1)),
    np.zeros((3, 2, 3)),
    np.zeros((3, 2, 10)),
    np.ones((3, 2), bool),
    np.ones((3, 2)),
)
UNKNOWN = AppearanceSummary(float("nan"))


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        (MOTION, {"betas": np.zeros(10)}),
        (MOTION, {"betas": np.zeros((3, 10))}),
        (MOTION, {"rotations": np.zeros((3, 2, 24, 3, 3))}),
        (MOTION, {"valid": np.ones((3, 2))}),
        (MOTION, {"transl": np.full((3, 2, 3), np.nan)}),
        (MOTION, {"transl": np.full((3, 2, 3), 1e30)}),
        (MOTION, {"confidence": np.full((3, 2), "a")}),
        (MOTION, {"confidence": np.full((3, 2), np.inf)}),
        (MOTION, {"confidence": 1.0}),
        (MOTION, {"body_model": 3}),
        (MOTION, {"body_model": np.zeros(3)}),
        (CAMERA, {"focal": 0.0}),
        (CAMERA, {"focal": -500.0}),
        (CAMERA, {"focal": float("nan")}),
        (CAMERA, {"focal": 10**400}),
        (CAMERA, {"focal": True}),
        (CAMERA, {"focal": "500"}),
        (CAMERA, {"principal_point": (1.0,)}),
        (CAMERA, {"principal_point": (1.0, None)}),
        (CAMERA, {"principal_point": 3.0}),
        (CAMERA, {"size": (0, 48)}),
        (CAMERA, {"focal_source": "elsewhere"}),
        (CAMERA, {"T_cam_world": np.eye(4)}),
        (CAMERA, {"floor_found": 1}),
        (CLIP, {"times": np.zeros(4)}),
        (CLIP, {"frame_indices": np.zeros(3)}),
        (CLIP, {"fps": 0.0}),
        (CLIP, {"path": None}),
        (CLIP, {"path": Path("a"), "size": (64.5, 48)}),
        (PAIR, {"contacts": (3,)}),
        (PAIR, {"contacts": (replace(CONTACT, start="a"),)}),  # type: ignore[arg-type]
        (PAIR, {"distance": np.zeros(4)}),
        (PAIR, {"person_a": 0.5}),
    ],
)
def test_values_that_a_record_cannot_have_are_one_line(tmp_path: Path, record: object, changes: dict) -> None:
    save_record(tmp_path / "r.npz", replace(record, **changes))  # type: ignore[type-var]
    with pytest.raises(InputError, match=r"r\.npz is damaged") as caught:
        load_record(tmp_path / "r.npz", type(record))
    assert "\n" not in str(caught.value)


def test_what_may_be_unknown_comes_back(tmp_path: Path) -> None:
    save_record(tmp_path / "r.npz", UNKNOWN)
    assert np.isnan(load_record(tmp_path / "r.npz", AppearanceSummary).psnr)
    save_record(tmp_path / "m.npz", MOTION)
    assert load_record(tmp_path / "m.npz", BodyMotion).num_people == 2


@pytest.mark.parametrize("header", ["", "{", "[]", "[" * 100_000, '{"type": "Clip", "fields": 3}', '{"type": 3}'])
def test_a_header_of_another_kind_is_refused(tmp_path: Path, header: str) -> None:
    np.savez(tmp_path / "r.npz", record=np.array(header))
    with pytest.raises(InputError, match=r"r\.npz is not a file of closemesh"):
        load_record(tmp_path / "r.npz", Clip)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"NaN", b"[" * 100_000, b'{"schema": ' + b"9" * 5000 + b"}"])
def test_damaged_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    write_json(tmp_path / "a.json", 1, {"a": 2})
    assert read_json(tmp_path / "a.json", 1)["a"] == 2
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is damaged") as caught:
        read_json(tmp_path / "a.json", 1)
    assert "\n" not in str(caught.value)
