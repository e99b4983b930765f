"""`closemesh export OUT --to FORMAT`: writes a finished result in formats of other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from closemesh.core.errors import InputError
from closemesh.core.output_folder import OutputFolder, require_separate
from closemesh.core.progress import NullProgress, Progress
from closemesh.interchange.bvh import write_bvh
from closemesh.interchange.c3d import write_c3d
from closemesh.interchange.camera import write_camera
from closemesh.interchange.scene import ExportedScene, UpAxis, load_scene
from closemesh.interchange.smplx_npz import write_smplx
from closemesh.interchange.tables import write_tables
from closemesh.interchange.trc import write_trc
from closemesh.interchange.usd import write_usd
from closemesh.output.gltf import write_glb
from closemesh.output.write import FrameFormat, write_frame_meshes

EXPORTED_FOLDER = "exported"
"""Folder of a result with one folder per format."""


@dataclass(frozen=True)
class ExportOptions:
    """How a result is exported."""

    up: UpAxis = "y"
    """Vertical axis of the files; x stays."""


@dataclass(frozen=True)
class Format:
    """A format: what it writes into a folder, and how."""

    write: Callable[[ExportedScene, Path], None]
    files: tuple[str, ...]
    """Names in the folder; one with {} stands for one file per person."""
    inner: str = ""
    """Regular expression of the names of files, if the name is that of a folder."""


def _write_glb(scene: ExportedScene, folder: Path) -> None:
    write_glb(folder / "scene.glb", scene.clip, scene.camera, scene.motion, scene.body)


def _write_meshes(mesh_format: FrameFormat, scene: ExportedScene, folder: Path) -> None:
    write_frame_meshes(folder / mesh_format, mesh_format, scene.camera, scene.motion, scene.body, scene.progress)


FORMATS: Mapping[str, Format] = {
    "bvh": Format(write_bvh, ("{}.bvh",)),
    "glb": Format(_write_glb, ("scene.glb",)),
    "usd": Format(write_usd, ("scene.usda",)),
    "smplx": Format(write_smplx, ("{}.npz",)),
    "c3d": Format(write_c3d, ("{}.c3d",)),
    "trc": Format(write_trc, ("{}.trc",)),
    "csv": Format(write_tables, ("joints.csv", "contacts.csv")),
    "ply": Format(partial(_write_meshes, "ply"), ("ply",), r"person_\d+/\d+\.ply"),
    "obj": Format(partial(_write_meshes, "obj"), ("obj",), r"person_\d+/\d+\.obj"),
    "camera": Format(write_camera, ("camera.json",)),
}
"""Formats by the name that `--to` takes."""


def export_result(
    out: Path,
    formats: Sequence[str],
    destination: Path | None = None,
    options: ExportOptions = ExportOptions(),
    progress: Progress | None = None,
) -> list[Path]:
    """Write the result in the folder `out` in these formats; returns the files, and the folders of sequences.

    destination: folder of all files; None for `out`/exported/FORMAT. Files of an earlier export are replaced. Raises
    InputError when a format is unknown or there is no finished result, and OutputError when a file that closemesh did
    not write would be replaced.
    """
    check_formats(formats)
    if options.up not in ("y", "z"):
        raise InputError(f"up axis {options.up!r} is unknown; give y or z")
    scene = load_scene(out, options.up, progress or NullProgress())
    folders = {name: destination or out / EXPORTED_FOLDER / name for name in dict.fromkeys(formats)}
    for name, folder in folders.items():
        _check_folder(out, folder, _kinds(FORMATS[name], scene))
    with scene.progress.task("export", len(folders)) as advance:
        for name, folder in folders.items():
            _export(scene, FORMATS[name], folder)
            advance(1)
    return [folder / file for name, folder in folders.items() for file in _kinds(FORMATS[name], scene)]


def check_formats(formats: Sequence[str]) -> None:
    """Raises InputError when there is no format, or one that does not exist."""
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        wrong = f"format {', '.join(map(repr, unknown))} is unknown" if unknown else "no format is given"
        raise InputError(f"{wrong}; the formats are {', '.join(FORMATS)}")


def _kinds(format: Format, scene: ExportedScene) -> dict[str, str]:
    """Names of the files or folders of a format -> for a folder, the names of files in it."""
    people = scene.people
    names = [one for file in format.files for one in ([file.format(p) for p in people] if "{}" in file else [file])]
    return dict.fromkeys(names, format.inner)


def _check_folder(out: Path, folder: Path, kinds: Mapping[str, str]) -> None:
    """Raises OutputError when a file cannot be written without loss."""
    require_separate(folder, [out / "people", out / "stages"], kinds)
    OutputFolder(folder).require_free(kinds)


def _export(scene: ExportedScene, format: Format, folder: Path) -> None:
    output = OutputFolder(folder)
    with output.staging() as staged:
        format.write(scene, staged)
        output.publish(staged, _earlier(format, folder))


def _earlier(format: Format, folder: Path) -> set[str]:
    """Names in the folder that this format may have written earlier, perhaps for more people."""
    return {path.name for file in format.files for path in folder.glob(file.replace("{}", "person_*"))}
