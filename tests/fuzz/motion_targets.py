"""Every reader of foreign files, with a writer of a small valid file: motion of people, by tool and data set."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataset_files
import numpy as np
import test_asf_amc
import test_recording_formats
import tool_files
from tool_files import ToolPerson

from closemesh.body.loading import load_bundled_body
from closemesh.importers.association import on_clip
from closemesh.importers.registry import read_imported_result
from closemesh.lab.datasets import bvh, skeleton_retargeting
from closemesh.lab.datasets.asf_amc import read_amc
from closemesh.lab.datasets.bvh import read_bvh, write_bvh
from closemesh.lab.datasets.chi3d import read_chi3d
from closemesh.lab.datasets.hi4d import read_hi4d
from closemesh.lab.datasets.interaction_mocap import read_harmony4d
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.datasets.threedpw import read_threedpw
from closemesh.motion_files.amass import read_amass, write_amass
from closemesh.motion_files.sequence import MotionSequence, body_rotations
from closemesh.structures import Camera, Clip

FRAMES, SIZE, FOCAL = 3, (640, 480), 600.0
CLIP = Clip(Path("clip.mp4"), "ab" * 32, np.arange(FRAMES), np.arange(FRAMES) / 30, SIZE, 30.0)
CAMERA = Camera(FOCAL, (320.0, 240.0), SIZE, "option", np.tile(np.eye(4), (FRAMES, 1, 1)))
KEYPOINTS = frozenset({"joints", "keypoints"})
"""Fields of imported people that are nan where a file has none."""


@dataclass(frozen=True)
class Target:
    """One reader and how its valid file is made."""

    name: str
    write: Callable[[Path], Path]
    """Writes the files into a folder and gives the path to read."""
    read: Callable[[Path], Any]
    may_be_nan: frozenset[str] = frozenset()
    ranges: bool = True
    """Numbers must be plausible; False for records of closemesh itself, where finite ones are enough."""
    suffixes: tuple[str, ...] = ()
    """Files to damage; all by default."""
    names_file: bool = True
    """Errors name the file."""
    may_print: bool = False
    """Libraries in C print warnings about damaged images."""
    runs: int = 60
    """In the test with a fixed seed."""


# Retargeting needs the T-pose of the bundled body for each file; the fuzzer loads it once.
skeleton_retargeting.load_bundled_body = functools.cache(load_bundled_body)  # type: ignore[assignment]


def _people() -> list[ToolPerson]:
    random = np.random.default_rng(0)
    rotations = body_rotations(0.1 * random.normal(size=(FRAMES, 2, 22, 3)))[0].astype(np.float64)
    pelvis = np.array([[-0.3, 0.1, 3.0], [0.4, 0.1, 3.2]]) + np.zeros((FRAMES, 1, 1))
    joints = pelvis[:, :, None] + 0.3 * random.normal(size=(1, 2, 55, 3))
    return [ToolPerson(rotations[:, p], pelvis[:, p], joints[:, p]) for p in range(2)]


def _sequence(people: int = 2) -> MotionSequence:
    random = np.random.default_rng(0)
    rotations, joint_valid = body_rotations(0.1 * random.normal(size=(FRAMES, people, 22, 3)))
    return MotionSequence(
        name="made up",
        fps=30.0,
        rotations=rotations,
        pelvis=np.full((FRAMES, people, 3), 0.9, np.float32),
        valid=np.ones((FRAMES, people), bool),
        joint_valid=joint_valid,
        betas=np.zeros((people, 10), np.float32),
        body_model="closemesh_open/light",
        rest_joints=random.normal(size=(people, 22, 3)).astype(np.float32),
    )


@functools.cache
def _pair() -> dataset_files.KnownPair:
    return dataset_files.known_pair(FRAMES)


def _imported(path: Path) -> Any:
    """The result, and its people on the frames of the clip, where frames without a pose are nan."""
    result = read_imported_result(path, CLIP)
    placed = [on_clip(person, CLIP) for person in result.people]
    return result, [(one.rotations[one.valid], one.pelvis[one.valid]) for one in placed]


def _tool(name: str) -> Callable[[Path], Path]:
    tool = next(tool for tool in tool_files.TOOLS if tool.name == name)
    return lambda folder: tool.write(folder, _people(), CAMERA, FOCAL)


def _write_amass_people(folder: Path) -> Path:
    tool_files.write_amass(folder / "people", _people(), np.eye(4), 30.0)
    return folder / "people"


def _sam3d_person(person: ToolPerson, frame: int) -> dict[str, Any]:
    points = np.random.default_rng(0).normal(size=(70, 3)) * 0.3
    in_camera = points + person.pelvis[frame]
    return {
        "pred_keypoints_3d": points.astype(np.float32),
        "pred_cam_t": person.pelvis[frame].astype(np.float32),
        "focal_length": np.float32(FOCAL),
        "pred_keypoints_2d": FOCAL * in_camera[:, :2] / in_camera[:, 2:] + 320,
    }


def _write_sam3d_frames(folder: Path) -> Path:
    frames = [[_sam3d_person(person, t) for person in _people()] for t in range(FRAMES)]
    (folder / "people.pkl").write_bytes(pickle.dumps(frames))
    return folder / "people.pkl"


def _write_sam3d_files(folder: Path) -> Path:
    for t in range(FRAMES):
        np.savez(folder / f"{t:06d}_subj01.npz", **_sam3d_person(_people()[0], t))
    return folder


def _write_bvh(folder: Path) -> Path:
    write_bvh(folder / "a.bvh", _sequence(), load_bundled_body("light"))
    return folder / "a.bvh"


def _write_amc(folder: Path) -> Path:
    random = np.random.default_rng(0)
    return test_asf_amc.write_pair(folder, [test_asf_amc.random_frame(random) for _ in range(FRAMES)])


def _write_pose_file(folder: Path) -> Path:
    write_pose_file(folder / "pair.npz", _sequence())
    return folder / "pair.npz"


def _write_amass_file(folder: Path) -> Path:
    write_amass(folder / "person_00.npz", _sequence(), load_bundled_body("light"))
    return folder / "person_00.npz"


def _write_hi4d(folder: Path) -> Path:
    recording = folder / "pair00" / "hug00"
    recording.mkdir(parents=True)
    dataset_files.write_hi4d(recording, _pair())
    return recording


def _joblib(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        source = Path(tool_files.__file__).with_name(name)
        (folder / name).write_bytes(source.read_bytes())
        return folder / name

    return write


MOTION_TARGETS = (
    *(
        Target(name.lower().replace("-", "_"), _tool(name), _imported, KEYPOINTS)
        for name in ("4D-Humans", "WHAM", "PromptHMR", "GVHMR", "CoMotion")
    ),
    Target("amass_people", _write_amass_people, _imported, KEYPOINTS),
    Target("sam3d_pickle", _write_sam3d_frames, _imported, KEYPOINTS),
    Target("sam3d_npz", _write_sam3d_files, _imported, KEYPOINTS),
    Target("amass", _write_amass_file, read_amass),
    Target("amass_motion", lambda folder: next(_write_amass_people(folder).iterdir()), read_motion),
    Target("pose_file", _write_pose_file, read_motion),
    Target("bvh", _write_bvh, lambda path: (read_bvh(path), bvh.read_bvh_file(path))),
    Target("asf_amc", _write_amc, read_amc, runs=40),
    Target("hi4d", _write_hi4d, read_hi4d),
    Target("chi3d", lambda folder: dataset_files.write_chi3d(folder / "s02", _pair()), read_chi3d),
    Target("threedpw", lambda folder: dataset_files.write_threedpw(folder, _pair()), read_threedpw),
    Target("threedpw_motion", lambda folder: dataset_files.write_threedpw(folder, _pair()), read_motion, runs=20),
    Target("interhuman", lambda folder: test_recording_formats.write_interhuman(folder, _pair()), read_motion),
    Target("interx", lambda folder: test_recording_formats.write_interx(folder, _pair()), read_motion),
    Target(
        "harmony4d",
        lambda folder: test_recording_formats.write_harmony4d(folder / "01_hug", _pair()),
        lambda path: read_harmony4d(path, 20.0),
    ),
)
