"""Acclaim skeletons (.asf) and motions (.amc), the original files of the CMU motion-capture database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.model import BodyModel
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.foreign import foreign_reader, parse_number
from closemesh.lab.datasets.skeleton_retargeting import (
    METERS_PER_UNIT,
    PosedSkeleton,
    Up,
    pose_skeleton,
    retarget_to_smplx,
)
from closemesh.motion_files.sequence import MotionSequence

CMU_RATE = 120.0
"""Frames per second of nearly all CMU trials; the files do not contain it."""

_CMU_LENGTH = 0.45  # `length` in the :units section of CMU skeletons; lengths are inches times this.
_MAX_BONES = 1000
_TURNS = ("rx", "ry", "rz")


@dataclass(frozen=True)
class AsfBone:
    """One bone, at the end of its parent, with its own axes of rotation; the root has no length."""

    name: str
    parent: str | None
    vector: Floats  # [3] from head to end in the rest pose, world axes, unit of the file
    R_world_axes: Floats  # [3, 3] axes of rotation
    dof: tuple[str, ...]


@dataclass(frozen=True)
class AsfSkeleton:
    """Bones, parents before children."""

    bones: tuple[AsfBone, ...]
    meters_per_unit: float | None
    """None when the unit is not that of CMU."""
    degrees: bool


@foreign_reader
def read_amc(
    path: Path,
    asf: Path | None = None,
    fps: float = CMU_RATE,
    meters_per_unit: float | None = None,
    up: Up | None = None,
    body: BodyModel | None = None,
) -> MotionSequence:
    """One person from an .amc file and its skeleton; for the other parameters see `retarget_to_smplx`.

    asf: by default the file of the same name, of the subject in the names of CMU (07.asf for 07_01.amc), or the only
    one in the folder. Raises InputError with the line at fault.
    """
    skeleton = read_asf(asf or find_asf(path))
    posed = _posed(skeleton, _read_frames(path, skeleton))
    try:
        return retarget_to_smplx(posed, path.stem, fps, meters_per_unit or skeleton.meters_per_unit, up, body)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def find_asf(amc: Path) -> Path:
    """The skeleton file of a motion file. Raises InputError when there is none or more than one candidate."""
    beside = sorted(amc.parent.glob("*.asf"))
    names = (amc.stem, amc.stem.split("_")[0])
    named = next((file for name in names for file in beside if file.stem == name), None)
    if named is None and len(beside) != 1:
        raise InputError(f"{amc}: {len(beside)} .asf files beside it and none of its name; put its skeleton there")
    return named or beside[0]


@foreign_reader
def read_asf(path: Path) -> AsfSkeleton:
    """The skeleton of an .asf file. Raises InputError with the line at fault."""
    section, bone, degrees = "", {}, True
    found: dict[str, dict[str, list[str]]] = {"root": {}}
    units: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for number, words in _lines(path):
        key, values = words[0].lower(), words[1:]
        if key.startswith(":"):
            section = key
        elif key == "begin":
            bone = {}
        elif key == "end" and section == ":bonedata":
            if not bone.get("name"):
                raise InputError(f"{path}, line {number}: a bone without a name")
            if len(found) > _MAX_BONES:
                raise InputError(f"{path}, line {number}: more than {_MAX_BONES} bones")
            found[bone["name"][0]] = bone
        elif section == ":bonedata":
            bone[key] = values
        elif section == ":root":
            found["root"][key] = values
        elif section == ":units":
            units[key] = values
        elif section == ":hierarchy" and key != "end":
            parents |= dict.fromkeys(values, words[0])
    degrees = "".join(units.get("angle", ["deg"])[:1]).startswith("deg")
    unit = METERS_PER_UNIT["CMU"] if units.get("length") == [str(_CMU_LENGTH)] else None
    return AsfSkeleton(tuple(_ordered_bones(path, found, parents, degrees)), unit, degrees)


def _ordered_bones(
    path: Path, found: dict[str, dict[str, list[str]]], parents: dict[str, str], degrees: bool
) -> Iterator[AsfBone]:
    names = ["root"]
    for name in names:  # The list grows in the loop: children follow their parents.
        names += [child for child, parent in parents.items() if parent == name and child not in names]
        if name not in found:
            raise InputError(f"{path}: the hierarchy names {name}, which is no bone of the file")
        try:
            yield _bone(name, parents.get(name), found[name], degrees)
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(f"{path}: bone {name} is not understood ({error})") from error
    if len(names) == 1:
        raise InputError(f"{path} has no :hierarchy below the root; is it an Acclaim skeleton?")


def _bone(name: str, parent: str | None, values: dict[str, list[str]], degrees: bool) -> AsfBone:
    if parent is None:
        if any(parse_number(value) for key in ("position", "orientation") for value in values.get(key, [])):
            raise ValueError("a root that is placed or turned at rest is not supported")
        order, vector, axes = values["order"], np.zeros(3), np.eye(3)
    else:
        order, vector = values.get("dof", []), parse_number(values["length"][0]) * _vector(values["direction"])
        axis_order = values["axis"][3].lower() if len(values["axis"]) > 3 else "xyz"
        angles = _vector(values["axis"])
        axes = Rotation.from_euler(axis_order, angles, degrees=degrees).as_matrix()
    dof = tuple(channel.lower() for channel in order)
    if len(set(dof)) != len(dof):
        raise ValueError(f"a degree of freedom twice: {', '.join(dof)}")
    allowed = _TURNS if parent else (*_TURNS, "tx", "ty", "tz")
    if set(dof) - set(allowed):
        raise ValueError(f"degrees of freedom other than {', '.join(allowed)}: {', '.join(dof)}")
    return AsfBone(name, parent, vector, axes, dof)


def _vector(words: list[str]) -> Floats:
    """The first three numbers [3]. Raises ValueError."""
    x, y, z = (parse_number(word) for word in words[:3])
    return np.array([x, y, z])


def _read_frames(path: Path, skeleton: AsfSkeleton) -> dict[str, Floats]:
    """Values [T, dof] of each bone, angles in radians; zeros for bones that are not in the file."""
    dofs = {bone.name: bone.dof for bone in skeleton.bones}
    values: dict[str, list[list[float]]] = {name: [] for name in dofs}
    frames, degrees = 0, skeleton.degrees
    for number, words in _lines(path):
        if words[0].startswith(":"):
            degrees = {":degrees": True, ":radians": False}.get(words[0].lower(), degrees)
        elif len(words) == 1 and words[0].isdigit():
            frames += 1
        elif words[0] not in dofs or len(words) - 1 != len(dofs[words[0]]) or len(values[words[0]]) != frames - 1:
            raise InputError(
                f"{path}, line {number}: {words[0]} with {len(words) - 1} numbers does not fit the skeleton, "
                f"or frame {frames} or one before it is not complete"
            )
        else:
            values[words[0]].append(_numbers(path, number, words[1:]))
    unequal = [name for name, rows in values.items() if len(rows) not in (0, frames)]
    if frames == 0 or unequal or not values["root"]:
        raise InputError(f"{path}: no frames, or the last frame is cut short ({', '.join(unequal) or 'no root'})")
    arrays = {name: np.array(rows or np.zeros((frames, len(dofs[name])))) for name, rows in values.items()}
    if degrees:
        for name, dof in dofs.items():
            arrays[name][:, [channel in _TURNS for channel in dof]] *= np.pi / 180
    return arrays


def _posed(skeleton: AsfSkeleton, values: dict[str, Floats]) -> PosedSkeleton:
    """The moving skeleton whose joints are the heads of the bones."""
    names = [bone.name for bone in skeleton.bones]
    parents = [-1 if bone.parent is None else names.index(bone.parent) for bone in skeleton.bones]
    offsets = np.array([np.zeros(3) if p < 0 else skeleton.bones[p].vector for p in parents])
    frames = len(values["root"])
    rotations, positions = np.empty((frames, len(names), 3, 3)), np.tile(offsets, (frames, 1, 1))
    for index, bone in enumerate(skeleton.bones):
        by_channel = dict(zip(bone.dof, values[bone.name].T, strict=True))
        angles = np.stack([by_channel.get(channel, np.zeros(frames)) for channel in _TURNS], axis=-1)
        own = Rotation.from_euler("xyz", angles).as_matrix()  # About x first, the order of Acclaim.
        rotations[:, index] = bone.R_world_axes @ own @ bone.R_world_axes.T
        if bone.parent is None:
            positions[:, index] = np.stack([by_channel[channel] for channel in ("tx", "ty", "tz")], axis=-1)
    return pose_skeleton(names, parents, offsets, rotations, positions)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each line with content."""
    try:
        with path.open(errors="replace") as file:
            for number, line in enumerate(file, start=1):
                words = line.split("#")[0].split()
                if words:
                    yield number, words
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error


def _numbers(path: Path, number: int, words: list[str]) -> list[float]:
    try:
        return [parse_number(word) for word in words]
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from error
