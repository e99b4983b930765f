"""Joints of a foreign skeleton by their SMPL-X names, from the naming conventions of common tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from closemesh.body.skeleton import JOINT_NAMES

_PREFIX = re.compile(r"^(.*:|mixamorig\d*[_:]?|bip0*1(?=.))", re.IGNORECASE)
_LEFT_RIGHT = (("left", "l"), ("right", "r"))


@dataclass(frozen=True)
class Convention:
    """Joint names of one family of tools: lower case, without prefix, blanks and underscores.

    {side} is replaced by left or right, {s} by l or r; the first name that exists counts.
    """

    pelvis: tuple[str, ...]
    hip: tuple[str, ...]
    knee: tuple[str, ...]
    ankle: tuple[str, ...]
    foot: tuple[str, ...]
    collar: tuple[str, ...]
    shoulder: tuple[str, ...]
    elbow: tuple[str, ...]
    wrist: tuple[str, ...]
    spine: str
    """Pattern of the names of joints between pelvis and neck, in the order of the file."""
    neck: str = r"neck\d*"
    fingers: str | None = None
    is_smplx: bool = False
    """True when the rest pose is the T-pose of SMPL-X."""
    beyond_wrist: tuple[str, ...] = ()
    """Joints of the wrist rotation that lie in the palm, half a bone beyond the wrist, as in CMU skeletons."""


SMPLX = Convention(
    pelvis=("pelvis",),
    hip=("{side}hip",),
    knee=("{side}knee",),
    ankle=("{side}ankle",),
    foot=("{side}foot",),
    collar=("{side}collar",),
    shoulder=("{side}shoulder",),
    elbow=("{side}elbow",),
    wrist=("{side}wrist",),
    spine=r"spine[123]",
    fingers="{side}{finger}",
    is_smplx=True,
)
MOTIONBUILDER = Convention(  # CMU's "MotionBuilder-friendly" BVH, Mixamo, Rokoko, LAFAN1.
    pelvis=("hips", "hip"),
    hip=("{side}upleg",),
    knee=("{side}leg",),
    ankle=("{side}foot",),
    foot=("{side}toebase", "{side}toe"),
    collar=("{side}shoulder",),
    shoulder=("{side}arm",),
    elbow=("{side}forearm",),
    wrist=("{side}fingerbase", "{side}hand"),
    spine=r"lowerback|spine\d*",
    fingers="{side}hand{finger}",
    beyond_wrist=("leftfingerbase", "rightfingerbase"),
)
XSENS = Convention(  # CMU's "3dsMax-friendly" BVH, Xsens, and others that keep its names.
    pelvis=("hips", "hip", "pelvis"),
    hip=("{side}hip", "{side}upleg"),
    knee=("{side}knee", "{side}lowleg"),
    ankle=("{side}ankle", "{side}foot"),
    foot=("{side}toe",),
    collar=("{side}collar",),
    shoulder=("{side}shoulder", "{side}uparm"),
    elbow=("{side}elbow", "{side}lowarm"),
    wrist=("{side}wrist", "{side}hand"),
    spine=r"abdomen|spine\d*|chest\d*",
)
BIPED = Convention(  # 3ds Max biped.
    pelvis=("pelvis",),
    hip=("{s}thigh",),
    knee=("{s}calf",),
    ankle=("{s}foot",),
    foot=("{s}toe0",),
    collar=("{s}clavicle",),
    shoulder=("{s}upperarm",),
    elbow=("{s}forearm",),
    wrist=("{s}hand",),
    spine=r"spine\d*",
)
ACCLAIM = Convention(  # CMU's ASF files.
    pelvis=("root",),
    hip=("{s}femur",),
    knee=("{s}tibia",),
    ankle=("{s}foot",),
    foot=("{s}toes",),
    collar=("{s}clavicle",),
    shoulder=("{s}humerus",),
    elbow=("{s}radius",),
    wrist=("{s}hand",),
    spine=r"lowerback|upperback|thorax",
    neck=r"lowerneck|upperneck",
    beyond_wrist=("lhand", "rhand"),
)
CONVENTIONS = (SMPLX, MOTIONBUILDER, XSENS, BIPED, ACCLAIM)

_SIDED = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
OPTIONAL = frozenset(f"{side}_{part}" for side, _ in _LEFT_RIGHT for part in ("foot", "collar"))


@dataclass(frozen=True)
class JointMap:
    """Indices of the SMPL-X joints in a foreign skeleton."""

    convention: Convention
    joints: dict[str, int]
    """By SMPL-X name, without spine and neck."""
    spine: tuple[int, ...]
    neck: tuple[int, ...]

    def missing(self) -> list[str]:
        """SMPL-X names of missing joints that a pose needs."""
        sided = (f"{side}_{part}" for side, _ in _LEFT_RIGHT for part in _SIDED)
        wanted = [name for name in ("pelvis", "head", *sided) if name not in OPTIONAL]
        return [name for name in wanted if name not in self.joints] + ([] if self.spine else ["spine"])


def map_joints(names: Sequence[str]) -> JointMap:
    """The map of the convention that finds most joints in `names`."""
    plain = [plain_name(name) for name in names]
    maps = [_map_by(convention, plain) for convention in CONVENTIONS]
    return max(maps, key=lambda found: (len(found.joints) + len(found.spine), found.convention.is_smplx))


def plain_name(name: str) -> str:
    """The name in lower case, without the prefix of a tool or namespace, blanks, underscores, dots and dashes."""
    return re.sub(r"[\s_.\-]", "", _PREFIX.sub("", name.strip())).lower()


def _map_by(convention: Convention, plain: list[str]) -> JointMap:
    place = {name: index for index, name in reversed(list(enumerate(plain)))}  # The first of equal names counts.
    wanted = {"pelvis": convention.pelvis, "head": ("head",)}
    for side, letter in _LEFT_RIGHT:
        for part in _SIDED:
            templates = getattr(convention, part)
            wanted[f"{side}_{part}"] = tuple(template.format(side=side, s=letter) for template in templates)
        if convention.fingers:
            for name in JOINT_NAMES[25:]:
                if name.startswith(side):
                    finger = name.removeprefix(f"{side}_")
                    wanted[name] = (convention.fingers.format(side=side, finger=finger),)
    if convention.is_smplx:
        wanted |= {name: (plain_name(name),) for name in JOINT_NAMES[22:25]}
    joints = {name: next((place[c] for c in choices if c in place), -1) for name, choices in wanted.items()}
    return JointMap(
        convention=convention,
        joints={name: index for name, index in joints.items() if index >= 0},
        spine=tuple(i for i, name in enumerate(plain) if re.fullmatch(convention.spine, name)),
        neck=tuple(i for i, name in enumerate(plain) if re.fullmatch(convention.neck, name)),
    )
