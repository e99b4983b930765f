"""Facts about a real clip or photo, written down by eye: the file NAME.facts.json and its records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from closemesh.body.skeleton import COCO_BODY, COCO_FEET
from closemesh.contact.body_parts import PART_NAMES
from closemesh.core.errors import InputError
from closemesh.core.foreign import foreign_reader, parse_json

_MAX_NUMBER = 1e9  # Frames and pixels.
SUFFIX = ".facts.json"
TRUNK = frozenset({"chest", "upper_back", "abdomen", "lower_back", "hips", "buttocks", "neck"})
"""Parts that the name `trunk` stands for."""
JOINTS: tuple[str, ...] = (*COCO_BODY, *COCO_FEET)
"""Names of joints that can be marked."""

Frames = tuple[int, int]
"""First and last frame of the clip, inclusive."""
Pixel = tuple[float, float]
_T = TypeVar("_T")


@dataclass(frozen=True)
class PersonPoint:
    """A point on one person in one frame, best on the trunk."""

    person: str
    frame: int
    xy: Pixel


@dataclass(frozen=True)
class ContactFact:
    """Parts of one person that certainly touch parts of another."""

    what: str
    a: str
    parts_a: frozenset[str]
    b: str
    parts_b: frozenset[str]
    frames: Frames


@dataclass(frozen=True)
class NoContactFact:
    """Frames in which two people do not touch."""

    frames: Frames
    people: tuple[str, str] | None
    """None: no two people touch."""


@dataclass(frozen=True)
class MarkedJoint:
    """Where a joint is seen, or must be if it is hidden."""

    person: str
    frame: int
    joint: str
    xy: Pixel
    hidden: bool


@dataclass(frozen=True)
class DepthFact:
    """Frames in which the trunk of one person is nearer to the camera than that of another."""

    nearer: str
    farther: str
    frames: Frames


@dataclass(frozen=True)
class ClipFacts:
    """What was seen in one clip. Frames are those of the file, from 0; pixels are those of the file."""

    path: Path
    clip: str
    """Name of the video, photo or folder of images."""
    focal_px: float | None = None
    """The true focal length."""
    people: Mapping[str, PersonPoint] | None = None
    optional_people: frozenset[str] = frozenset()
    """People who need not be found."""
    identity: tuple[PersonPoint, ...] = ()
    contacts: tuple[ContactFact, ...] = ()
    apart: tuple[NoContactFact, ...] = ()
    never: tuple[tuple[str, ...], ...] = ()
    """Each: kinds of parts (`thigh`) of which no two ever touch."""
    joints: tuple[MarkedJoint, ...] = ()
    depth_order: tuple[DepthFact, ...] = ()
    keypoints: str | None = None
    """Name of a JSON file with keypoints of the first frame, in OpenPose's order BODY_25."""
    background: Literal["static"] | None = None
    """The people are what differs from the median of the frames."""
    chroma_key: tuple[int, int, int] | None = None
    """The people are what differs from this RGB color."""

    @property
    def name(self) -> str:
        """The name of the facts file without its suffix."""
        return self.path.name.removesuffix(SUFFIX)

    @property
    def points(self) -> tuple[PersonPoint, ...]:
        """All points at which a person is known."""
        return (*(self.people or {}).values(), *self.identity)

    def check_range(self, last_frame: int, size: tuple[int, int]) -> None:
        """Checks frames and pixels against the clip; size: width and height. Raises InputError with the wrong key."""
        numbered = [(f"people.{point.person}", point.frame) for point in (self.people or {}).values()]
        numbered += [(f"identity[{i}]", point.frame) for i, point in enumerate(self.identity)]
        numbered += [(f"joints[{i}]", joint.frame) for i, joint in enumerate(self.joints)]
        for key, ranges in (("contacts", self.contacts), ("apart", self.apart), ("depth_order", self.depth_order)):
            numbered += [(f"{key}[{i}]", one.frames[1]) for i, one in enumerate(ranges)]
        for key, frame in numbered:
            if frame > last_frame:
                raise InputError(f"{self.path}: {key} names frame {frame}; the last frame is {last_frame}; correct it")
        for key, xy in [
            *((f"people.{point.person}", point.xy) for point in (self.people or {}).values()),
            *((f"identity[{i}]", point.xy) for i, point in enumerate(self.identity)),
        ]:
            if not (0 <= xy[0] < size[0] and 0 <= xy[1] < size[1]):
                raise InputError(f"{self.path}: {key} lies outside the frame of {size[0]}x{size[1]} pixels; correct it")


@foreign_reader
def read_facts(path: Path) -> ClipFacts:
    """The facts of one file. Raises InputError that names the file and the key which is wrong or unknown."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); correct it") from error
    return _Reader(path).facts(values)


class _WrongValueError(Exception):
    """Why a value is wrong."""


class _Reader:
    """Reads the values of one file; every error names the file and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._people: dict[str, PersonPoint] = {}

    def facts(self, values: Any) -> ClipFacts:
        readers: dict[str, Callable[[Any], Any]] = {
            "clip": _text,
            "focal_px": _positive,
            "people": self._read_people,
            "identity": _each(self._point),
            "contacts": _each(self._contact),
            "apart": _each(self._no_contact),
            "never": _each(_kinds),
            "joints": _each(self._joint),
            "depth_order": _each(self._depth_fact),
            "keypoints": _text,
            "background": lambda value: _one_of(value, ("static",)),
            "chroma_key": _color,
        }
        found = self._mapping("", values, readers, required=("clip",))
        optional = frozenset(name for name, one in values.get("people", {}).items() if not one.get("must_be_found", 1))
        return ClipFacts(self._path, optional_people=optional, **found)

    def _mapping(
        self, where: str, values: Any, readers: Mapping[str, Callable[[Any], Any]], required: Sequence[str]
    ) -> dict[str, Any]:
        """The values of a JSON object, each through its reader. Raises InputError."""
        if not isinstance(values, dict):
            raise InputError(f"{self._path}: {where or 'the file'} must be a JSON object; correct it")
        for key in values:
            if key not in readers:
                known = ", ".join(readers)
                raise InputError(f"{self._path}: {where}{key} is not known; there are {known}")
        for key in required:
            if key not in values:
                raise InputError(f"{self._path}: {where}{key} is missing; add it")
        found = {}
        for key in (key for key in readers if key in values):
            try:
                found[key] = readers[key](values[key])
            except _WrongValueError as reason:
                separator = "" if str(reason).startswith("[") else " "
                raise InputError(f"{self._path}: {where}{key}{separator}{reason}; correct it") from None
        return found

    def _read_people(self, values: Any) -> dict[str, PersonPoint]:
        if not isinstance(values, dict):
            raise _WrongValueError("must be a JSON object of names")
        readers = {"frame": _frame, "xy": _pixel, "must_be_found": _flag}
        for name, value in values.items():
            found = self._mapping(f"people.{name}.", value, readers, required=("frame", "xy"))
            self._people[name] = PersonPoint(name, found["frame"], found["xy"])
        return self._people

    def _person(self, value: Any) -> str:
        return _one_of(value, tuple(self._people), "people of this file")

    def _record(self, value: Any, readers: Mapping[str, Callable[[Any], Any]], optional: Sequence[str] = ()) -> Any:
        """The values of one entry of a list. Raises _WrongValueError with the key in the entry."""
        if not isinstance(value, dict):
            raise _WrongValueError(" must be a JSON object")
        for key in (*value, *readers):
            if key not in readers:
                raise _WrongValueError(f".{key} is not known; there are {', '.join(readers)}")
            if key not in value and key not in optional:
                raise _WrongValueError(f".{key} is missing")
        found = {}
        for key in value:
            try:
                found[key] = readers[key](value[key])
            except _WrongValueError as reason:
                raise _WrongValueError(f".{key}{'' if str(reason)[0] in '[.' else ' '}{reason}") from None
        return found

    def _point(self, value: Any) -> PersonPoint:
        return PersonPoint(**self._record(value, {"person": self._person, "frame": _frame, "xy": _pixel}))

    def _contact(self, value: Any) -> ContactFact:
        readers = {"what": _text, "a": self._person, "parts_a": _parts, "b": self._person, "parts_b": _parts}
        return ContactFact(**self._record(value, {**readers, "frames": _range}))

    def _no_contact(self, value: Any) -> NoContactFact:
        if isinstance(value, list):
            return NoContactFact(_range(value), None)
        found = self._record(value, {"people": self._pair, "frames": _range})
        return NoContactFact(found["frames"], found["people"])

    def _pair(self, value: Any) -> tuple[str, str]:
        if not isinstance(value, list) or len(value) != 2:
            raise _WrongValueError("must be two names")
        return self._person(value[0]), self._person(value[1])

    def _joint(self, value: Any) -> MarkedJoint:
        readers = {"person": self._person, "frame": _frame, "xy": _pixel, "hidden": _flag}
        readers["joint"] = lambda name: _one_of(name, JOINTS)
        return MarkedJoint(**{"hidden": False, **self._record(value, readers, optional=("hidden",))})

    def _depth_fact(self, value: Any) -> DepthFact:
        return DepthFact(**self._record(value, {"nearer": self._person, "farther": self._person, "frames": _range}))


def _each(read: Callable[[Any], _T]) -> Callable[[Any], tuple[_T, ...]]:
    """Reads a list, each entry by `read`; an error gets the number of the entry."""

    def read_all(values: Any) -> tuple[_T, ...]:
        if not isinstance(values, list):
            raise _WrongValueError("must be a list")
        found = []
        for i, value in enumerate(values):
            try:
                found.append(read(value))
            except _WrongValueError as reason:
                raise _WrongValueError(f"[{i}]{'' if str(reason)[0] in '[. ' else ' '}{reason}") from None
        return tuple(found)

    return read_all


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongValueError("must be a text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("must be true or false")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongValueError("must be a number")
    if not abs(value) <= _MAX_NUMBER:
        raise _WrongValueError(f"must be within {_MAX_NUMBER:g}")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise _WrongValueError("must be above 0")
    return float(value)


def _frame(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise _WrongValueError("must be a frame number, 0 or more")
    return value


def _range(value: Any) -> Frames:
    if not isinstance(value, list) or len(value) != 2 or _frame(value[0]) > _frame(value[1]):
        raise _WrongValueError("must be the first and the last frame")
    return value[0], value[1]


def _pixel(value: Any) -> Pixel:
    if not isinstance(value, list) or len(value) != 2:
        raise _WrongValueError("must be x and y in pixels")
    return _number(value[0]), _number(value[1])


def _color(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in value):
        raise _WrongValueError("must be red, green and blue, each 0 to 255")
    return value[0], value[1], value[2]


def _one_of(value: Any, known: Sequence[str], kind: str = "") -> Any:
    if value not in known:
        raise _WrongValueError(f"names {value!r}; there are {kind + ' ' if kind else ''}{', '.join(known) or 'none'}")
    return value


def _parts(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise _WrongValueError("must be a list of body parts")
    names = [_one_of(name, (*PART_NAMES, "trunk")) for name in value]
    return frozenset(part for name in names for part in (TRUNK if name == "trunk" else {name}))


def _kinds(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise _WrongValueError("must be a list of kinds of body parts")
    for kind in value:
        if not isinstance(kind, str) or not any(kind in part for part in PART_NAMES):
            raise _WrongValueError(f"names {kind!r}, which is in no body part; there are {', '.join(PART_NAMES)}")
    return tuple(value)
