"""Which tool a file is from, told by what it holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from closemesh.core.errors import InputError
from closemesh.core.unpickling import read_joblib, read_torch
from closemesh.importers.results import ImportedResult
from closemesh.importers.sam3d_body import is_sam3d_frames, is_sam3d_npz, read_sam3d_files, read_sam3d_frames
from closemesh.importers.smpl_formats import (
    is_comotion,
    is_gvhmr,
    is_phalp,
    is_prompthmr,
    is_wham,
    read_amass_person,
    read_comotion,
    read_gvhmr,
    read_phalp,
    read_prompthmr,
    read_wham,
)
from closemesh.structures import Clip
from closemesh.weights.locate import sha256_of

_SUFFIXES = (".npz", ".pkl", ".pt", ".pth")
_KNOWN = "4D-Humans, WHAM, PromptHMR (.pkl), GVHMR, CoMotion (.pt), SAM 3D Body (.npz, .pkl), AMASS-style (.npz)"


def read_tool_result(path: Path, clip: Clip) -> ImportedResult:
    """Everybody in a file, or in the files of a folder, which must be of one tool.

    Raises InputError when there is none, or nobody in it, or a file is damaged or of a format that is not known.
    """
    files = tool_files(path)
    results = [read_sam3d_files(files, clip)] if is_sam3d_npz(files[0]) else [_read(file, clip) for file in files]
    people = tuple(person for result in results for person in result.people if len(person.frames))
    if len({(result.tool, result.camera) for result in results}) > 1:
        raise InputError(f"{path} holds files of several tools or clips; give those of one")
    if not people:
        raise InputError(f"{path} tells of nobody in this part of the clip; give the tool's result of this clip")
    return replace(results[0], people=people)


def tool_files(path: Path) -> list[Path]:
    """The file itself, or those of a folder, by name. Raises InputError when there is none."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.glob("*") if file.suffix.lower() in _SUFFIXES) if path.is_dir() else []
    if not files:
        raise InputError(f"{path}: no such file, or no file of a tool in it; known are {_KNOWN}")
    return files


def import_fingerprint(path: Path) -> str:
    """A hash of everything that is read from `path`. Raises InputError when there is nothing."""
    return hashlib.sha256("".join(sha256_of(file) for file in tool_files(path)).encode()).hexdigest()


def _read(path: Path, clip: Clip) -> ImportedResult:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_amass_person(path, clip)
    if suffix in (".pt", ".pth"):
        told = read_torch(path)
        if is_gvhmr(told):
            return read_gvhmr(path, told)
        if is_comotion(told):
            return read_comotion(path, told, clip)
    if suffix == ".pkl":
        told = read_joblib(path)
        if is_prompthmr(told):
            return read_prompthmr(path, told, clip)
        if is_phalp(told):
            return read_phalp(path, told, clip)
        if is_sam3d_frames(told):
            return read_sam3d_frames(path, told, clip)
        if is_wham(told):
            return read_wham(path, told, clip)
    raise InputError(f"{path}: no result of a tool that is known ({_KNOWN})")
