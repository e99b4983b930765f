"""Start poses from limb directions, fits of single frames from several starts, and the best start over time."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import forward_kinematics
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.fitting.objective import FitModel, frame_loss, run_phases
from closemesh.fitting.optimizer import SINGLE_FRAMES, Weights
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle, shortest_arc_rotation
from closemesh.losses.keypoints import SEGMENTS, limb_confidence, limb_directions
from closemesh.temporal import viterbi

# Limb joints, the child that gives the direction, and the segment of the keypoints; parents stand first.
_LIMBS = tuple(
    (JOINT_INDEX[joint], JOINT_INDEX[child], SEGMENTS.index(((start,), (end,))))
    for joint, child, start, end in (
        *(("left_shoulder", "left_elbow", 5, 7), ("right_shoulder", "right_elbow", 6, 8)),
        *(("left_elbow", "left_wrist", 7, 9), ("right_elbow", "right_wrist", 8, 10)),
        *(("left_hip", "left_knee", 11, 13), ("right_hip", "right_knee", 12, 14)),
        *(("left_knee", "left_ankle", 13, 15), ("right_knee", "right_ankle", 14, 16)),
    )
)
_HIPS, _SHOULDERS, _TRUNK = 0, 1, 2
MIN_START_DEPTH = 0.5  # Meters; the linear placement may fall behind the camera when only a face is detected.
START_NAMES = ("keypoints", "mirrored depth", "turned round")
JUMP_SIGMA = 0.12  # Meters that a joint may move, relative to the pelvis, from one frame to the next.
MAX_JUMP_COST = 60.0  # A cut costs no more than this.


def initial_parameters(body: LandmarkBody, tracks: KeypointTracks, betas: Tensor) -> list[MotionParameters]:
    """One start for each of START_NAMES; betas [P, B].

    An image does not determine whether a limb points to the camera or away, nor always front and back: the second
    start mirrors the directions in depth, the third turns the trunk half round.
    """
    directions = known_directions(tracks)
    mirrored = directions * directions.new_tensor([1.0, 1.0, -1.0])
    return [
        _from_directions(body, tracks, betas, directions, turned=False),
        _from_directions(body, tracks, betas, mirrored, turned=False),
        _from_directions(body, tracks, betas, directions, turned=True),
    ]


def _from_directions(
    body: LandmarkBody, tracks: KeypointTracks, betas: Tensor, directions: Tensor, turned: bool
) -> MotionParameters:
    """Parameters whose trunk and limbs point along `directions` [T, P, L, 3]."""
    R_cam_root = trunk_rotation(directions, turned)  # [T, P, 3, 3]
    rest = body.rest_joints(betas)  # [P, 55, 3]
    body_pose = _limb_pose(rest, R_cam_root, directions)
    frames, people = R_cam_root.shape[:2]
    parameters = MotionParameters(
        root=matrix_to_6d(R_cam_root),
        body_pose=body_pose,
        jaw=torch.zeros_like(body_pose[..., 0, :]),
        hand_pose=body.hand_mean.flatten(0, 1).expand(frames, people, 30, 3),
        pelvis_ray=torch.zeros_like(directions[..., 0, :2]),
        log_depth=torch.zeros_like(directions[..., 0, 0]),
        betas=betas,
    )
    return place_pelvis(body, tracks, parameters).detached()


def known_directions(tracks: KeypointTracks) -> Tensor:
    """Limb directions [T, P, L, 3] of the 3D keypoints, else of the image, assumed parallel to the image plane.

    An undetected segment hangs down; undetected hips and shoulders face the camera.
    """
    points = torch.cat([tracks.points2d, torch.zeros_like(tracks.points2d[..., :1])], dim=-1)[..., :NUM_POINTS, :]
    detected = limb_confidence((tracks.inv_sigma[..., :NUM_POINTS] > 0).float())[..., None] > 0
    default = tracks.points2d.new_tensor([0.0, 1.0, 0.0]).repeat(len(SEGMENTS), 1)
    default[[_HIPS, _SHOULDERS]] = default.new_tensor([1.0, 0.0, 0.0])
    default[_TRUNK] = default.new_tensor([0.0, -1.0, 0.0])
    in_image = torch.where(detected, limb_directions(points), default)
    return torch.where(tracks.limb_weights[..., None] > 0, tracks.limb_directions, in_image)


def trunk_rotation(directions: Tensor, turned: bool) -> Tensor:
    """R_cam_root [..., 3, 3] whose y runs up the trunk and whose x points to the person's left.

    directions [..., L, 3] of the limbs; `turned` half round.
    """
    up = directions[..., _TRUNK, :]
    left = directions[..., _HIPS, :] + 0.5 * directions[..., _SHOULDERS, :]
    left = -left if turned else left
    x = F.normalize(left - (left * up).sum(-1, keepdim=True) * up, dim=-1, eps=1e-6)
    return torch.stack([x, up, torch.linalg.cross(x, up)], dim=-1)


def _limb_pose(rest: Tensor, R_cam_root: Tensor, directions: Tensor) -> Tensor:
    """Axis-angle body pose [T, P, 21, 3] that turns every limb from its rest direction to `directions`."""
    rotations = torch.eye(3, dtype=rest.dtype, device=rest.device).repeat(*R_cam_root.shape[:2], 55, 1, 1)
    rotations[..., 0, :, :] = R_cam_root
    for joint, child, segment in _LIMBS:
        global_rotations, _ = forward_kinematics(rotations, rest)
        parent = global_rotations[..., joint, :, :]  # Its own rotation is still the identity.
        target = (parent.transpose(-1, -2) @ directions[..., segment, :, None])[..., 0]
        bone = F.normalize(rest[..., child, :] - rest[..., joint, :], dim=-1).expand_as(target)
        rotations[..., joint, :, :] = shortest_arc_rotation(bone, target)
    return matrix_to_axis_angle(rotations[..., 1:22, :, :])


def place_pelvis(body: LandmarkBody, tracks: KeypointTracks, parameters: MotionParameters) -> MotionParameters:
    """The parameters with ray and depth of the pelvis by weighted linear least squares (method of CloseInt, 1.2)."""
    posed = pose_parameters(body, parameters)
    pelvis = parameters.pelvis()
    relative = posed.keypoints - pelvis[..., None, :]  # [T, P, K, 3]
    rays = (tracks.points2d - tracks.principal_point) / tracks.focal
    weights = tracks.inv_sigma * tracks.focal
    # x + tx = (u - cx) / f * (z + tz), and the same for y: two rows per keypoint, three unknowns.
    zeros, ones = torch.zeros_like(rays[..., 0]), torch.ones_like(rays[..., 0])
    rows = torch.cat(
        [
            torch.stack([ones, zeros, -rays[..., 0]], -1) * weights[..., None],
            torch.stack([zeros, ones, -rays[..., 1]], -1) * weights[..., None],
        ],
        dim=-2,
    )  # [T, P, 2K, 3]
    sides = torch.cat([(rays[..., k] * relative[..., 2] - relative[..., k]) * weights for k in (0, 1)], dim=-1)
    normal = rows.transpose(-1, -2) @ rows + 1e-6 * torch.eye(3, dtype=rows.dtype, device=rows.device)
    t = torch.linalg.solve(normal, rows.transpose(-1, -2) @ sides[..., None])[..., 0]
    depth = t[..., 2].clamp(min=MIN_START_DEPTH)
    return parameters.with_tensors(pelvis_ray=t[..., :2] / depth[..., None], log_depth=depth.log())


def fit_frames(
    model: FitModel, tracks: KeypointTracks, betas: Tensor, chunks: list[slice], iterations: int, advance: Advance
) -> MotionParameters:
    """The best fit of every person in every frame, without smoothing; betas [P, B]. Frames are fitted in `chunks`."""
    candidates: list[list[MotionParameters]] = []
    losses, joints = [], []
    for chunk in chunks:
        part = tracks.frames(chunk)
        fits = [
            run_phases(model, start, part, SINGLE_FRAMES, iterations, advance)
            for start in initial_parameters(model.body, part, betas)
        ]
        with torch.no_grad():
            measured = [_loss_and_joints(model, fit, part) for fit in fits]
        losses.append(torch.stack([loss for loss, _ in measured], dim=1))  # [T, S, P]
        joints.append(torch.stack([points for _, points in measured], dim=1))  # [T, S, P, 22, 3]
        candidates.append(fits)
    paths = _paths(torch.cat(losses).cpu().numpy(), torch.cat(joints).cpu().numpy())
    starts = [MotionParameters.concat(list(pieces)) for pieces in zip(*candidates, strict=True)]
    return _select(starts, torch.as_tensor(paths, device=betas.device))


def _loss_and_joints(model: FitModel, parameters: MotionParameters, tracks: KeypointTracks) -> tuple[Tensor, Tensor]:
    """Loss [T, P], 0 where a person is not detected, and joints [T, P, 22, 3] relative to the pelvis."""
    posed = pose_parameters(model.body, parameters)
    loss = frame_loss(model, parameters, posed, tracks, Weights()) * tracks.detected
    return loss, posed.joints[..., :22, :] - posed.joints[..., :1, :]


def _paths(losses: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Best start [T, P] of losses [T, S, P] and joints [T, S, P, 22, 3]."""
    people = losses.shape[2]
    return np.stack([best_start_path(losses[:, :, p], joints[:, :, p]) for p in range(people)], axis=1)


def best_start_path(losses: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The start [T] of each frame whose summed loss and jumps are least.

    losses [T, S] of each start; joints [T, S, J, 3] in meters relative to the pelvis.
    """

    def jumps(t: int) -> np.ndarray:
        distance = np.linalg.norm(joints[t, :, None] - joints[t - 1, None, :], axis=-1)  # [to, from, J]
        return np.minimum((distance / JUMP_SIGMA) ** 2, MAX_JUMP_COST).mean(-1)

    return viterbi(losses, jumps)


def _select(candidates: list[MotionParameters], paths: Tensor) -> MotionParameters:
    """The parameters of candidate paths[t, p] in every frame t of person p."""
    frames, people = torch.meshgrid(*(torch.arange(n, device=paths.device) for n in paths.shape), indexing="ij")
    names = [name for name in candidates[0].tensors() if name != "betas"]
    stacked = {name: torch.stack([getattr(candidate, name) for candidate in candidates]) for name in names}
    return candidates[0].with_tensors(**{name: values[paths, frames, people] for name, values in stacked.items()})
