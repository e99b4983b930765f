"""Shape of each person from keypoints and silhouettes of frames in which the person is clearly seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from closemesh.avatars.views import evenly_spaced_frames, square_around
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Advance, Progress
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.fitting.keypoint_tracks import KeypointTracks, reference_at
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, frame_loss
from closemesh.fitting.optimizer import SIGMAS, SILHOUETTE_SHAPE, minimize
from closemesh.geometry.camera import project
from closemesh.losses.keypoints import pseudo_huber
from closemesh.rendering.zbuffer import render_depth
from closemesh.structures import Observations

Labels = NDArray[np.uint8]
"""[H, W] 0 background, p + 1 person p."""

CLEAR_FRAMES = 16  # Clear frames that a shape is fitted to, evenly over the clip.
_CANDIDATES = 48  # Frames of each person whose masks are read.
_MIN_FRAMES = 2  # The mask of a single frame may be wrong.
_MIN_CONFIDENCE, _MIN_MASK_CONFIDENCE = 0.3, 0.8  # Of the keypoints below, and of a mask.
_TRUNK_KEYPOINTS = [5, 6, 11, 12]  # Shoulders and hips.
_MAX_FORESHORTENING = 0.5  # Cosine between the axis of the trunk and the line of sight.
_MAX_HIDDEN = 0.25  # Part of a mask's outline that lies near other people or outside of the image.
_MIN_OVERLAP = 0.6  # Intersection over union of body and mask: with less, the pose or the identity is wrong.

_SIDE = 256  # Cells of a silhouette along each side.
_MARGIN = 0.15  # Of a mask's extent, added on every side.
_NEAR_OTHERS = 0.04  # Meters from other people's masks within which an outline is unknown.
_OUTLINE = 0.015  # Meters from the outline of the drawn body within which its vertices lie on it.
_ALIGNED = 0.7  # Cosine between the normals of both outlines.
_STEP = 2.0  # Cells over which normals are measured.
_REDRAW_EVERY = 10  # Steps after which the body is drawn again.
_INDEPENDENT_POINTS = 16.0  # Of one outline: errors of a mask and thicknesses of clothes repeat along it.
_INDEPENDENT_FRAMES = 2.0  # Of a clip: they repeat from frame to frame.
_OUTLIER = 2.0  # Sigmas beyond which an outline costs only linearly: skirts, hair, bags.
_PARTS = (
    *("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_hip", "right_hip", "left_knee", "right_knee"),
)
"""Joints whose vertices are compared: heads have hair, hands hold things, feet have shoes."""


@dataclass(frozen=True)
class Masks:
    """The masks of a clip and how sure they are."""

    labels: Callable[[int], Labels]
    """The label image of a frame."""
    observations: Observations


@dataclass(frozen=True)
class Silhouettes(TensorDataclass):
    """Masks of one person in N frames on square grids of S cells around the person."""

    distance: Tensor  # [N, S, S] meters at the person's depth to the outline of the mask, negative inside
    known: Tensor  # [N, S, S] 0 near other people and outside of the image, else 1
    corner: Tensor  # [N, 2] x, y of the corner of the grid in the image, pixels
    cells_per_pixel: Tensor  # [N]
    meters_per_cell: Tensor  # [N] at the person's depth

    def cells(self, pixels: Tensor) -> Tensor:
        """Positions [N, V, 2] on the grids of pixels [N, V, 2]; the center of the first cell is at 0.5."""
        return (pixels - self.corner[:, None]) * self.cells_per_pixel[:, None, None]


def fit_silhouette_shape(
    model: FitModel,
    body: BodyModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    masks: Masks,
    iterations: int,
    progress: Progress,
) -> tuple[MotionParameters, Tensor]:
    """The parameters with the betas that silhouettes show and depths that fit them, and [P] bool whose betas those are.

    People without clear frames are unchanged, and so are all poses. Raises InputError when a mask is damaged.
    """
    mesh = watertight_body(body, "coarse").to(parameters.betas.device)
    betas, log_depth = parameters.betas.clone(), parameters.log_depth.clone()
    fitted = torch.zeros(len(betas), dtype=torch.bool, device=betas.device)
    with progress.task("shape", iterations * len(betas)) as advance:
        for person in range(len(betas)):
            alone, track = parameters.people([person]), tracks.people([person])
            clear = clear_silhouettes(model, mesh, alone, track, masks, person)
            if len(clear) < _MIN_FRAMES:
                advance(iterations)
                continue
            start, part = alone.frames(list(clear)), track.frames(list(clear))
            silhouettes = Silhouettes.concat(list(clear.values()))
            after = _fit_person(model, mesh, start, part, silhouettes, iterations, advance)
            betas[person], fitted[person] = after.betas[0], True
            log_depth[:, person] += (after.log_depth - start.log_depth).median()
    return parameters.with_tensors(betas=betas, log_depth=log_depth), fitted


def _fit_person(
    model: FitModel,
    mesh: BodyModel,
    start: MotionParameters,
    tracks: KeypointTracks,
    silhouettes: Silhouettes,
    iterations: int,
    advance: Advance,
) -> MotionParameters:
    """One person's parameters near `start` with the betas that keypoints and silhouettes show.

    Poses are free, and keypoints count little: a body beside its mask would become thinner instead of moving.
    """
    (phase,) = SILHOUETTE_SHAPE
    tracks = replace(tracks, reference=reference_at(start, SIGMAS.clear_rotation, SIGMAS.refined_depth))
    compared = _compared_vertices(mesh)
    depth = on_outline = torch.zeros(0)

    def loss(p: MotionParameters, step: int) -> Tensor:
        nonlocal depth, on_outline
        vertices = _vertices(mesh, p)
        cells = silhouettes.cells(project(vertices, tracks.focal, tracks.principal_point))
        if step % _REDRAW_EVERY == 0:
            depth, on_outline = match_outlines(vertices.detach(), cells.detach(), mesh, silhouettes)
        shown = silhouette_loss(cells, depth, on_outline & compared, silhouettes)
        own = frame_loss(model, p, pose_parameters(model.body, p), tracks, phase.weights)[:, 0]
        data = (own + phase.weights.silhouette * shown).mean()
        return _INDEPENDENT_FRAMES * data + phase.weights.shape * p.betas.square().sum()

    free = (*POSE_PARAMETERS, "betas")
    return minimize(start, loss, iterations=iterations, learning_rate=phase.learning_rate, free=free, advance=advance)


def silhouette_loss(cells: Tensor, depth: Tensor, compared: Tensor, silhouettes: Silhouettes) -> Tensor:
    """Robust squared distance [N] in standard deviations between the outlines of a body and of its mask.

    cells [N, V, 2] of the vertices on the grids; depth [N, V] meters of each vertex inside the outline of the body;
    compared [N, V] bool. Both sides of the mask count alike: where the pose is a little wrong, the body is beyond the
    mask on one side and short of it on the other, and its width must not change. Clothes, which make all outlines too
    wide, are limited by the prior of the shape and by the few points that count as independent.
    """
    weight = compared * sample_grids(silhouettes.known, cells.detach())
    beyond = sample_grids(silhouettes.distance, cells) + depth
    cost = pseudo_huber((beyond / SIGMAS.mask).square(), _OUTLIER)
    return _INDEPENDENT_POINTS * (weight * cost).sum(-1) / compared.sum(-1).clamp(min=1)


def match_outlines(vertices: Tensor, cells: Tensor, mesh: BodyModel, silhouettes: Silhouettes) -> tuple[Tensor, Tensor]:
    """[N, V] meters of each vertex inside the outline of the drawn body, and [N, V] bool vertices to compare there.

    These lie on the outline, and the nearest outline of the mask has the same direction: two legs, or an arm and the
    trunk, may be one piece of the mask. vertices [N, V, 3] camera frame, cells [N, V, 2] on the grids.
    """
    signed = np.stack([signed_distance(one) for one in draw_body(vertices, cells, mesh.faces)])
    body = torch.as_tensor(signed, device=cells.device)
    depth = (-sample_grids(body, cells)).clamp(min=0) * silhouettes.meters_per_cell[:, None]
    aligned = F.cosine_similarity(_gradient(body, cells), _gradient(silhouettes.distance, cells), dim=-1)
    return depth, (depth < _OUTLINE) & (aligned > _ALIGNED)


def sample_grids(grids: Tensor, cells: Tensor) -> Tensor:
    """Bilinear values [N, V] of grids [N, S, S] at cells [N, V, 2]."""
    position = 2 * cells / grids.shape[-1] - 1
    return F.grid_sample(grids[:, None], position[:, None], padding_mode="border", align_corners=False)[:, 0, 0]


def _gradient(grids: Tensor, cells: Tensor) -> Tensor:
    """[N, V, 2] change of grids [N, S, S] along x and y around cells [N, V, 2]."""
    steps = _STEP * torch.eye(2, device=cells.device)
    return torch.stack([sample_grids(grids, cells + step) - sample_grids(grids, cells - step) for step in steps], -1)


def draw_body(vertices: Tensor, cells: Tensor, faces: Tensor) -> Bools:
    """[N, S, S] bool cells that a body covers.

    vertices [N, V, 3] camera frame, cells [N, V, 2] on the grids, faces [F, 3].
    """
    depth = vertices[..., 2:].cpu().numpy()
    points = np.concatenate([cells.cpu().numpy() * depth, depth], axis=-1)  # For a camera with focal length 1.
    triangles, size = faces.cpu().numpy(), (_SIDE, _SIDE)
    return np.isfinite(np.stack([render_depth(one, triangles, 1.0, (0.0, 0.0), size) for one in points]))


def signed_distance(inside: Bools) -> Floats:
    """[S, S] distance in cells to the edge of `inside` [S, S], negative inside."""
    own, other = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (inside, ~inside))
    return np.where(inside, 0.5 - own, other - 0.5).astype(np.float32)


def _vertices(mesh: BodyModel, parameters: MotionParameters) -> Tensor:
    """[N, V, 3] of one person, camera frame."""
    return skin(mesh, parameters.betas, parameters.rotations(), parameters.transl(mesh))[0][:, 0]


def _compared_vertices(mesh: BodyModel) -> Tensor:
    """[V] bool vertices of _PARTS, by the joint with the largest skin weight."""
    joints = torch.tensor([JOINT_INDEX[name] for name in _PARTS], device=mesh.faces.device)
    return torch.isin(mesh.skin_weights.argmax(-1), joints)


def clear_silhouettes(
    model: FitModel,
    mesh: BodyModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    masks: Masks,
    person: int,
) -> dict[int, Silhouettes]:
    """Silhouettes [1, ...] by frame, in order, where the only person of parameters and tracks is clearly seen.

    person: number in the masks. Raises InputError when a mask is damaged.
    """
    seen = seen_frames(model, parameters, masks.observations, person)
    found = {}
    for frame in evenly_spaced_frames(seen, _CANDIDATES):
        meters_per_pixel = float(parameters.log_depth[frame, 0].exp() / tracks.focal)
        one = read_silhouette(masks.labels(frame), person + 1, meters_per_pixel)
        if one is None:
            continue
        one = one.to(mesh.faces.device)
        if body_overlap(mesh, parameters.frames([frame]), tracks, one) > _MIN_OVERLAP:
            found[frame] = one
    frames = list(found)
    return {frames[k]: found[frames[k]] for k in evenly_spaced_frames(np.ones(len(frames), bool), CLEAR_FRAMES)}


def seen_frames(model: FitModel, parameters: MotionParameters, observations: Observations, person: int) -> Bools:
    """[T] whether the trunk of a person is seen and not foreshortened, and the mask is sure."""
    keypoints = observations.keypoints[:, person, _TRUNK_KEYPOINTS]
    seen = observations.detected[:, person] & (keypoints[..., 2] > _MIN_CONFIDENCE).all(-1)
    if observations.outside is not None:
        seen = seen & ~observations.outside[:, person, _TRUNK_KEYPOINTS].any(-1)
    if observations.mask_confidence is not None:
        seen = seen & (observations.mask_confidence[:, person] > _MIN_MASK_CONFIDENCE)
    joints = model.body.rest_joints(parameters.betas[0])
    trunk = (joints[JOINT_INDEX["neck"]] - joints[0]) @ parameters.rotations()[:, 0, 0].transpose(-1, -2)
    along = F.cosine_similarity(trunk, parameters.pelvis()[:, 0], dim=-1).abs()
    return seen & (along < _MAX_FORESHORTENING).cpu().numpy()


def read_silhouette(labels: Labels, number: int, meters_per_pixel: float) -> Silhouettes | None:
    """The silhouette [1, ...] of the person with this number; None without a mask or when much of it is hidden."""
    mask = labels == number
    if not mask.any():
        return None
    left, top, extent = square_around(mask, _MARGIN)
    scale = _SIDE / extent
    meters_per_cell = meters_per_pixel / scale
    own = _on_grid(mask, left, top, scale, cv2.BORDER_REPLICATE)
    others = _on_grid((labels > 0) & ~mask, left, top, scale, cv2.BORDER_REPLICATE)
    image = _on_grid(np.ones_like(mask), left, top, scale, cv2.BORDER_CONSTANT)
    distance = signed_distance(own)
    known = -signed_distance(image & ~others) * meters_per_cell > _NEAR_OTHERS
    outline = own & image & (distance > -1)
    if not outline.any() or known[outline].mean() < 1 - _MAX_HIDDEN:
        return None
    return Silhouettes(
        distance=torch.as_tensor(distance * meters_per_cell)[None],
        known=torch.as_tensor(known, dtype=torch.float32)[None],
        corner=torch.tensor([[left, top]], dtype=torch.float32),
        cells_per_pixel=torch.tensor([scale], dtype=torch.float32),
        meters_per_cell=torch.tensor([meters_per_cell], dtype=torch.float32),
    )


def _on_grid(mask: Bools, left: int, top: int, scale: float, border: int) -> Bools:
    """[S, S] part of mask [H, W] from the corner left, top on; scale: cells per pixel, border: of OpenCV."""
    shift = [scale * (0.5 - corner) - 0.5 for corner in (left, top)]  # Between centers of pixels and of cells.
    T_grid_image = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    values = mask.astype(np.float32)
    return cv2.warpAffine(values, T_grid_image, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=border) > 0.5


def body_overlap(mesh: BodyModel, parameters: MotionParameters, tracks: KeypointTracks, one: Silhouettes) -> float:
    """Intersection over union of the drawn body and the mask of one frame, where it is known."""
    with torch.no_grad():
        vertices = _vertices(mesh, parameters)
        cells = one.cells(project(vertices, tracks.focal, tracks.principal_point))
    known = (one.known > 0).cpu().numpy()
    body, mask = draw_body(vertices, cells, mesh.faces) & known, (one.distance < 0).cpu().numpy() & known
    return float((body & mask).sum() / max((body | mask).sum(), 1))
