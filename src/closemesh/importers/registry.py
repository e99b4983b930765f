"""Format detection: which tool wrote a result file."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from closemesh.core.errors import InputError
from closemesh.core.files import sha256_of
from closemesh.core.foreign import foreign_file, foreign_reader
from closemesh.core.unpickling import load_joblib, load_torch
from closemesh.importers.results import ImportedResult, check_result
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

_SUFFIXES = (".npz", ".pkl", ".pt", ".pth")
_FORMATS = "4D-Humans, WHAM, PromptHMR (.pkl), GVHMR, CoMotion (.pt), SAM 3D Body (.npz, .pkl), AMASS-style (.npz)"


@foreign_reader
def read_imported_result(path: Path, clip: Clip) -> ImportedResult:
    """All people in a result file, or in the files of a folder, which must be of one tool.

    Raises InputError when there is no file, when it has no people in the clip, or when it is damaged or of an unknown
    format.
    """
    files = result_files(path)
    results = [read_sam3d_files(files, clip)] if is_sam3d_npz(files[0]) else [_read(file, clip) for file in files]
    people = tuple(person for result in results for person in result.people if len(person.frames))
    if len({(result.tool, result.camera) for result in results}) > 1:
        raise InputError(f"{path} holds files of several tools or clips; give those of one")
    if not people:
        raise InputError(f"{path} has no people in this part of the clip; give the tool's result of this clip")
    result = replace(results[0], people=people)
    check_result(path, result)
    return result


def result_files(path: Path) -> list[Path]:
    """The file itself, or the result files of a folder, sorted by name. Raises InputError when there is none."""
    if path.is_file():
        return [path]
    files = sorted(file for file in path.glob("*") if file.suffix.lower() in _SUFFIXES) if path.is_dir() else []
    if not files:
        raise InputError(f"{path}: no such file, or no result file in the folder; formats: {_FORMATS}")
    return files


def import_fingerprint(path: Path) -> str:
    """SHA-256 of all files that are read from `path`. Raises InputError when there is none."""
    return hashlib.sha256("".join(sha256_of(file) for file in result_files(path)).encode()).hexdigest()


def _read(path: Path, clip: Clip) -> ImportedResult:
    with foreign_file(path):
        return _read_file(path, clip)


def _read_file(path: Path, clip: Clip) -> ImportedResult:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return read_amass_person(path, clip)
    if suffix in (".pt", ".pth"):
        data = load_torch(path)
        if is_gvhmr(data):
            return read_gvhmr(path, data)
        if is_comotion(data):
            return read_comotion(path, data, clip)
    if suffix == ".pkl":
        data = load_joblib(path)
        if is_prompthmr(data):
            return read_prompthmr(path, data, clip)
        if is_phalp(data):
            return read_phalp(path, data, clip)
        if is_sam3d_frames(data):
            return read_sam3d_frames(path, data, clip)
        if is_wham(data):
            return read_wham(path, data, clip)
    raise InputError(f"{path} is of an unknown format; formats: {_FORMATS}")
