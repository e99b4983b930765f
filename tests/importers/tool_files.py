"""Result files in the layout of other tools, written from a known motion; without content of the tools."""

from __future__ import annotations

import math
import pickle
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints
from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.importers.camera_alignment import to_clip_camera
from closemesh.importers.results import ImportedPerson, ToolCamera
from closemesh.motion_files.smpl_parameters import smpl_rest_pelvis
from closemesh.structures import BodyMotion, Camera

# Index of each SMPL joint among the 3d_joints of PHALP.
OPENPOSE_OF_SMPL = {2: 17, 3: 19, 4: 21, 5: 16, 6: 18, 7: 20, 8: 0, 9: 2, 10: 5, 11: 8, 12: 1, 13: 4, 14: 7, 1: 12}


@dataclass(frozen=True)
class ToolPerson:
    """One person in the camera frame of a tool."""

    rotations: Floats  # [T, 55, 3, 3]
    pelvis: Floats  # [T, 3]
    joints: Floats  # [T, 55, 3]

    def axis_angle(self, joints: int) -> Floats:
        """[T, 3 * joints]; SMPL's hands, joints 22 and 23, are at rest."""
        pose = matrix_to_axis_angle(torch.as_tensor(self.rotations[:, :joints])).numpy().copy()
        pose[:, 22:] = 0
        return pose.reshape(len(pose), -1)


def tool_people(motion: BodyMotion, body: BodyModel, camera: Camera, focal: float) -> list[ToolPerson]:
    """All people of `motion`, in the frame of `camera`, as a tool with another focal length places them."""
    values = (torch.as_tensor(x, dtype=torch.float32) for x in (motion.betas, motion.rotations, motion.transl))
    joints = posed_joints(body, *values).numpy().astype(np.float64)
    other = Camera(focal, camera.principal_point, camera.size, "option", camera.T_cam_world)
    people = []
    for p in range(motion.num_people):
        frames = np.arange(len(joints))
        person = ImportedPerson(
            frames, motion.rotations[:, p].astype(np.float64), joints[:, p, 0], frames * 0.0, "smpl"
        )
        moved = to_clip_camera(person, ToolCamera(camera.focal, camera.principal_point), other)
        rotation = moved.rotations[:, 0] @ np.swapaxes(person.rotations[:, 0], -1, -2)
        relative = np.einsum("tij,tkj->tki", rotation, joints[:, p] - joints[:, p, :1])
        people.append(ToolPerson(moved.rotations, moved.pelvis, relative + moved.pelvis[:, None]))
    return people


def transl(person: ToolPerson, model: str) -> Floats:
    """[T, 3] SMPL's translation, float32 as tools store it."""
    return (person.pelvis - smpl_rest_pelvis(model, "neutral")).astype(np.float32)


def phalp_focal(size: tuple[int, int]) -> float:
    return 5000 / 256 * max(size)


def write_phalp(path: Path, people: list[ToolPerson], size: tuple[int, int], split: int | None = None) -> None:
    """demo_CLIP.pkl, compressed as joblib does; `split`: frame at which the first track gets another number."""
    data: dict[str, Any] = {}
    for t in range(len(people[0].pelvis)):
        tracks = [(k + 1 if split is None or t < split or k else 9) for k in range(len(people))]
        joints = np.zeros((len(people), 45, 3), np.float32)
        for k, person in enumerate(people):
            for openpose, smpl in OPENPOSE_OF_SMPL.items():
                joints[k, openpose] = person.joints[t, smpl] - person.pelvis[t]
        data[f"outputs/_DEMO/clip/img/{t + 1:06d}.jpg"] = {
            "time": t,
            "shot": 0,
            "frame_path": f"outputs/_DEMO/clip/img/{t + 1:06d}.jpg",
            "tid": [*tracks, 30],
            "tracked_ids": tracks,
            "tracked_time": [*[0] * len(people), 3],  # The last is only a prediction.
            "bbox": [np.zeros(4)] * (len(people) + 1),
            "size": [[size[1], size[0]]] * (len(people) + 1),
            "conf": [np.float32(0.9)] * (len(people) + 1),
            "smpl": [_phalp_smpl(person, t) for person in [*people, people[0]]],
            "camera": [transl(person, "smpl")[t] for person in [*people, people[0]]],
            "3d_joints": [*joints, joints[0]],
            "mask": [[{"size": [4, 4], "counts": "02"}]] * (len(people) + 1),
        }
    path.write_bytes(zlib.compress(pickle.dumps(data), 3))


def _phalp_smpl(person: ToolPerson, t: int) -> dict[str, np.ndarray]:
    pose = np.tile(np.eye(3, dtype=np.float32), (23, 1, 1))
    pose[:21] = person.rotations[t, 1:22]
    root = person.rotations[t, :1].astype(np.float32)
    return {"global_orient": root, "body_pose": pose, "betas": np.full(10, 0.3, np.float32)}


def write_wham(path: Path, people: list[ToolPerson]) -> None:
    """wham_output.pkl."""
    data: dict[int, dict[str, Any]] = defaultdict(dict)
    for k, person in enumerate(people):
        pose, frames = person.axis_angle(24).astype(np.float32), len(person.pelvis)
        data[k] |= {"pose": pose, "trans": transl(person, "smpl"), "pose_world": pose * 0, "trans_world": pose[:, :3]}
        data[k] |= {"betas": np.full((frames, 10), 0.3, np.float32), "verts": np.zeros((frames, 5, 3), np.float32)}
        data[k]["frame_ids"] = np.arange(frames)
    path.write_bytes(pickle.dumps(data))


def write_gvhmr(folder: Path, people: list[ToolPerson], camera: Camera, focal: float) -> None:
    """One hmr4d_results.pt for each person."""
    for k, person in enumerate(people):
        pose, frames = torch.as_tensor(person.axis_angle(22)).float(), len(person.pelvis)
        K = torch.tensor([[focal, 0, camera.principal_point[0]], [0, focal, camera.principal_point[1]], [0, 0, 1.0]])
        incam = {"global_orient": pose[:, :3], "body_pose": pose[:, 3:], "betas": torch.full((frames, 10), 0.3)}
        incam["transl"] = torch.as_tensor(transl(person, "smplx"))
        data = {"smpl_params_incam": incam, "smpl_params_global": incam, "K_fullimg": K.repeat(frames, 1, 1)}
        folder.mkdir(exist_ok=True)
        torch.save({**data, "net_outputs": {"pred": [torch.zeros(2)]}}, folder / f"person_{k}_hmr4d_results.pt")


def write_comotion(path: Path, people: list[ToolPerson]) -> None:
    """CLIP.pt, frame after frame."""
    frames = len(people[0].pelvis)
    stacked = [torch.as_tensor(p.axis_angle(24)).float() for p in people]
    data = {
        "id": torch.arange(len(people)).repeat(frames) + 4,
        "frame_idx": torch.arange(frames).repeat_interleave(len(people)),
        "pose": torch.stack(stacked, dim=1).flatten(0, 1),
        "trans": torch.stack([torch.as_tensor(transl(p, "smpl")) for p in people], dim=1).flatten(0, 1),
        "betas": torch.full((frames * len(people), 10), 0.3),
    }
    torch.save(data, path)


def write_prompthmr(path: Path, people: list[ToolPerson], focal: float, size: tuple[int, int], scale: float) -> None:
    """results.pkl of frames that were scaled down by `scale`."""
    data: dict[str, Any] = {
        "camera": {"img_focal": np.float32(focal * scale), "img_center": np.array(size) * scale / 2},
        "people": {},
        "has_hps_cam": True,
    }
    for k, person in enumerate(people):
        frames = len(person.pelvis)
        rotations = person.rotations.astype(np.float32).copy()
        rotations[:, 22:] = np.eye(3)
        incam = {"rotmat": rotations, "shape": np.full((frames, 10), 0.3, np.float32), "trans": transl(person, "smplx")}
        data["people"][k + 1] = {"track_id": k + 1, "frames": np.arange(frames), "smplx_cam": incam}
    path.write_bytes(pickle.dumps(data))


def write_amass(folder: Path, people: list[ToolPerson], T_cam_world: Floats, fps: float) -> None:
    """One stageii.npz for each person, SMPL-H, in a world with z up."""
    folder.mkdir(exist_ok=True)
    R_zup_yup = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    R, t = R_zup_yup @ T_cam_world[:3, :3].T, T_cam_world[:3, 3]
    for k, person in enumerate(people):
        rotations = person.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        pose = matrix_to_axis_angle(torch.as_tensor(rotations[:, :22])).numpy().reshape(len(rotations), 66)
        np.savez(
            folder / f"person_{k}_stageii.npz",
            poses=np.concatenate([pose, np.zeros((len(pose), 90))], axis=1),
            trans=(person.pelvis - t) @ R.T - smpl_rest_pelvis("smplh", "neutral"),
            betas=np.zeros(16),
            gender=np.array("neutral"),
            mocap_framerate=np.array(fps),
        )


@dataclass(frozen=True)
class Tool:
    """How the tests make a file of one tool."""

    name: str
    focal: Callable[[tuple[int, int]], float]
    write: Callable[[Path, list[ToolPerson], Camera, float], Path]


def _write(writer: Callable[..., None], name: str, *more: Callable[[Camera, float], Any]) -> Callable[..., Path]:
    def write(folder: Path, people: list[ToolPerson], camera: Camera, focal: float) -> Path:
        writer(folder / name, people, *(value(camera, focal) for value in more))
        return folder / name

    return write


TOOLS = (
    Tool("4D-Humans", phalp_focal, _write(write_phalp, "demo_clip.pkl", lambda c, f: c.size)),
    Tool("WHAM", lambda size: math.hypot(*size), _write(write_wham, "wham_output.pkl")),
    Tool("GVHMR", lambda size: 700.0, _write(write_gvhmr, "gvhmr", lambda c, f: c, lambda c, f: f)),
    Tool("CoMotion", lambda size: 2.0 * max(size), _write(write_comotion, "clip.pt")),
    Tool(
        "PromptHMR",
        lambda size: 650.0,
        _write(write_prompthmr, "results.pkl", lambda c, f: f, lambda c, f: c.size, lambda c, f: 0.5),
    ),
)
