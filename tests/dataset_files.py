"""Tiny data sets in exactly the layouts of the real ones, made of a known motion."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import PARENTS

K = np.array([[900.0, 0, 470], [0, 900, 640], [0, 0, 1]])
K_CHI3D = np.array([[900.0, 0, 450], [0, 900, 450], [0, 0, 1]])
HI4D_CAMERAS = (4, 16)
CHI3D_CAMERAS = ("50591643", "60457274")
LSP_OF_25 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
_LSP = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12, 15)  # The same joints of SMPL-X.


@dataclass(frozen=True)
class KnownPair:
    """Two people who stand upright and move their limbs; world y up."""

    pose: np.ndarray  # [T, P, 22, 3] axis-angle
    joints: np.ndarray  # [T, P, 24, 3] SMPL's: the 22 of SMPL-X and two hands
    betas: np.ndarray  # [P, 10]

    def matrices(self) -> np.ndarray:
        return Rotation.from_rotvec(self.pose.reshape(-1, 3)).as_matrix().reshape(*self.pose.shape, 3)

    def turned(self, R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pose and joints in another world: R takes directions of this one to it."""
        pose = self.pose.copy()
        root = Rotation.from_matrix(R @ self.matrices()[:, :, 0].reshape(-1, 3, 3))
        pose[:, :, 0] = root.as_rotvec().reshape(pose[:, :, 0].shape)
        return pose, self.joints @ R.T


@dataclass(frozen=True)
class View:
    """A camera that all of a data set's cameras are."""

    T_cam_world: np.ndarray  # [4, 4]
    K: np.ndarray  # [3, 3]


def known_pair(frames: int = 6) -> KnownPair:
    rng = np.random.default_rng(5)
    rest = load_bundled_body("light").joint_template[:22].double().numpy()
    pose = 0.2 * rng.normal(size=(1, 2, 22, 3)) + 0.02 * rng.normal(size=(frames, 2, 22, 3))
    pose[:, 1, 0, 1] += 2.5
    local = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape, 3)
    turned, joints = local.copy(), np.zeros((frames, 2, 22, 3))
    joints[:, :, 0] = [[0, 0.95, 0], [0.1, 0.9, 0.5]]
    for j, p in enumerate(PARENTS[1:22], start=1):
        turned[:, :, j] = turned[:, :, p] @ local[:, :, j]
        joints[:, :, j] = joints[:, :, p] + turned[:, :, p] @ (rest[j] - rest[p])
    out = np.array([[0.08, 0, 0], [-0.08, 0, 0]])
    hands = joints[:, :, 20:22] + np.einsum("tpkij,kj->tpki", turned[:, :, 20:22], out)
    return KnownPair(pose, np.concatenate([joints, hands], axis=2), rng.normal(size=(2, 10)))


def camera_in_front(distance: float = 3.5, yaw: float = 0.0) -> np.ndarray:
    """T_cam_world [4, 4] of a level camera 1 m above the floor that faces the origin."""
    T = np.eye(4)
    R_yaw = Rotation.from_euler("y", yaw).as_matrix()
    T[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ R_yaw.T
    T[:3, 3] = -T[:3, :3] @ (R_yaw @ [0, 1.0, distance])
    return T


def write_hi4d(folder: Path, pair: KnownPair, first: int = 11, view: View | None = None) -> None:
    """One recording, without its images; frames are numbered from `first` on. With `view` both cameras are that one."""
    (folder / "smpl").mkdir(parents=True)
    (folder / "cameras").mkdir()
    frames = len(pair.pose)
    np.savez(
        folder / "meta.npz",
        start=first,
        end=first + frames - 1,
        num_persons=2,
        genders=np.array(["female", "male"]),
        betas=pair.betas,
        contact_ids=np.array([first + 1, first + 3]),
        mono_cam=np.array(HI4D_CAMERAS[0]),
    )
    views = [view or View(camera_in_front(yaw=yaw), K) for yaw in (0.0, 0.8)]
    cameras = {
        "ids": np.array(HI4D_CAMERAS),
        "intirnsics": np.stack([view.K for view in views]),
        "extrinsics": np.stack([view.T_cam_world[:3] for view in views]),
    }
    np.savez(folder / "cameras" / "rgb_cameras.npz", dist_coeffs=np.zeros((2, 5)), **cameras)  # type: ignore[arg-type]
    for t in range(frames):
        body_pose = np.concatenate([pair.pose[t, :, 1:].reshape(2, 63), np.zeros((2, 6))], axis=1)
        np.savez(
            folder / "smpl" / f"{first + t:06d}.npz",
            betas=pair.betas,
            global_orient=pair.pose[t, :, 0],
            body_pose=body_pose,
            transl=pair.joints[t, :, 0],
            joints_3d=pair.joints[t],
            verts=np.zeros((2, 12, 3)),
            contact=np.zeros((2, 12)),
        )


def write_threedpw(
    root: Path,
    pair: KnownPair,
    name: str = "downtown_hug_00",
    valid: np.ndarray | None = None,
    view: View | None = None,
) -> Path:
    """One test sequence in a world with z up, its camera moving but for a `view`, without its images."""
    R = Rotation.from_euler("x", 90, degrees=True).as_matrix()  # y up to z up.
    pose, joints = pair.turned(R)
    frames = len(pose)
    T = np.stack([view.T_cam_world if view else camera_in_front(3.5 + 0.01 * t) for t in range(frames)])
    T[:, :3, :3] = T[:, :3, :3] @ R.T
    data = {
        "sequence": name,
        "poses": [np.concatenate([pose[:, p].reshape(frames, 66), np.zeros((frames, 6))], 1) for p in range(2)],
        "betas": [pair.betas[p] for p in range(2)],
        "trans": [joints[:, p, 0] for p in range(2)],
        "poses2d": [np.zeros((frames, 3, 18)) for _ in range(2)],
        "jointPositions": [joints[:, p].reshape(frames, 72) for p in range(2)],
        "cam_poses": T,
        "cam_intrinsics": view.K if view else K,
        "genders": ["f", "m"],
        "campose_valid": [np.ones(frames) if valid is None else valid for _ in range(2)],
        "img_frame_ids": 2 * np.arange(frames),
        "texture_maps": [np.zeros((2, 2, 3), np.uint8)],
        "v_template_clothed": [np.zeros((4, 3))],
    }
    path = root / "sequenceFiles" / "test" / f"{name}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(data, protocol=2))
    return path


def joints25(joints: np.ndarray) -> np.ndarray:
    """IMAR's order [T, P, 25, 3] of joints [T, P, 24, 3]; points that the tests do not look at are zero."""
    result = np.zeros((*joints.shape[:2], 25, 3))
    result[:, :, list(LSP_OF_25)] = joints[:, :, list(_LSP)]
    result[:, :, 9] = joints[:, :, 15]  # SMPL-X's head joint; 10 stands for the top.
    result[:, :, 0] = joints[:, :, 1:3].mean(2)
    return result


def write_chi3d(subject: Path, pair: KnownPair, action: str = "Hug 1", view: View | None = None) -> Path:
    """One recording in a world with z up, without its videos; frame 2 is that of contact."""
    R = Rotation.from_euler("x", 90, degrees=True).as_matrix()
    pose, joints = pair.turned(R)
    matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*pose.shape, 3)
    by_person = np.swapaxes(matrices, 0, 1)
    frames = len(pose)
    hands = np.broadcast_to(np.eye(3), (2, frames, 15, 3, 3))
    smplx = {
        "transl": np.swapaxes(joints[:, :, 0], 0, 1),
        "global_orient": by_person[:, :, :1],
        "body_pose": by_person[:, :, 1:],
        "betas": np.repeat(pair.betas[:, None], frames, axis=1),
        "left_hand_pose": hands,
        "right_hand_pose": hands,
        "jaw_pose": hands[:, :, :1],
        "leye_pose": hands[:, :, :1],
        "reye_pose": hands[:, :, :1],
        "expression": np.zeros((2, frames, 10)),
    }
    _write_json(subject / "smplx" / f"{action}.json", {key: array.tolist() for key, array in smplx.items()})
    data = {"joints3d_25": np.swapaxes(joints25(joints), 0, 1).tolist()}
    _write_json(subject / "joints3d_25" / f"{action}.json", data)
    for camera, yaw in zip(CHI3D_CAMERAS, (0.0, 0.8), strict=True):
        T_cam_world, inner = (view.T_cam_world, view.K) if view else (camera_in_front(yaw=yaw), K_CHI3D)
        R_cam_file = T_cam_world[:3, :3] @ R.T
        center = -R_cam_file.T @ T_cam_world[:3, 3]
        inside = {"f": [[inner[0, 0], inner[1, 1]]], "c": [[inner[0, 2], inner[1, 2]]]}
        inside |= {"k": [[0.01, 0.02, 0.03]], "p": [[0.004, 0.005]]}
        placed = {"R": R_cam_file.tolist(), "T": [center.tolist()]}
        without = {"f": inside["f"], "c": inside["c"]}
        file = subject / "camera_parameters" / camera / f"{action}.json"
        _write_json(
            file, {"extrinsics": placed, "intrinsics_w_distortion": inside, "intrinsics_wo_distortion": without}
        )
    signature = {action: {"fr_id": 2, "start_fr": 1, "end_fr": 3, "smplx_signature": {"region_id": [[1, 2]]}}}
    _write_json(subject / "interaction_contact_signature.json", signature)
    return subject / "smplx" / f"{action}.json"


def _write_json(path: Path, data: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
