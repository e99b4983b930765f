"""Each person as a camera that looks straight at him would see him, at one size: what the lifter sees and says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.geometry.rotations import swing

NUM_POINTS = 23  # Body and feet of COCO-WholeBody.


@dataclass(frozen=True)
class Sightings:
    """What was seen of B people, each over T frames, in pixels of the full frame."""

    points: Tensor  # [B, T, 23, 2] pixels
    inverse_sigmas: Tensor  # [B, T, 23] 1 / pixels; 0 where nothing was seen
    cue_points: Tensor  # [B, T, 23, 4] metres in the axes of cam, mid-hip at the origin, and confidence
    visible: Tensor  # [B, T] bool
    times: Tensor  # [B, T] seconds
    focal: Tensor  # [B] pixels
    centre: Tensor  # [B, 2] pixels

    def frames(self, index: slice) -> Sightings:
        """The same people in some of the frames."""
        names = ("points", "inverse_sigmas", "cue_points", "visible", "times")
        return replace(self, **{name: getattr(self, name)[:, index] for name in names})


@dataclass(frozen=True)
class View:
    """The camera turned towards each person in each frame, and the person's size in it."""

    R_view_cam: Tensor  # [B, T, 3, 3]
    size: Tensor  # [B, T] half of the larger side of the seen points, tangent of an angle


def choose_view(seen: Sightings) -> View:
    """Looks at the middle of the seen points; frames in which nobody is seen take the view of the sightings around."""
    rays = (seen.points - seen.centre[:, None, None]) / seen.focal[:, None, None, None]  # [B, T, 23, 2]
    known = (seen.inverse_sigmas > 0)[..., None]
    lowest = torch.where(known, rays, torch.inf).amin(-2)  # [B, T, 2]
    highest = torch.where(known, rays, -torch.inf).amax(-2)
    enough = (known[..., 0].sum(-1) >= 4) & seen.visible
    middle = torch.where(enough[..., None], (lowest + highest) / 2, 0.0)
    half = torch.where(enough, (highest - lowest).amax(-1) / 2, 1.0)
    middle, size = _fill(middle, enough), _fill(half.log()[..., None], enough)[..., 0].exp()
    direction = F.normalize(F.pad(middle, (0, 1), value=1.0), dim=-1)
    return View(swing(direction, direction.new_tensor([0.0, 0.0, 1.0]).expand_as(direction)), size)


def features(seen: Sightings, view: View) -> Tensor:
    """[B, T, 23 * 8 + 4] points and cue in the view, how sure each is, and where and how large the person is seen."""
    rays = (seen.points - seen.centre[:, None, None]) / seen.focal[:, None, None, None]
    known = (seen.inverse_sigmas > 0).float() * seen.visible[..., None]  # [B, T, 23]
    turned = torch.einsum("btij,btkj->btki", view.R_view_cam, F.pad(rays, (0, 1), value=1.0))
    flat = turned[..., :2] / turned[..., 2:].clamp(min=0.1) / view.size[..., None, None]
    sharpness = seen.inverse_sigmas * (seen.focal[:, None, None] * view.size[..., None])  # sizes per sigma
    points = torch.cat([flat.clamp(-3, 3), torch.log1p(sharpness)[..., None] / 4, torch.ones_like(flat[..., :1])], -1)
    cue = torch.einsum("btij,btkj->btki", view.R_view_cam, seen.cue_points[..., :3])
    trust = seen.cue_points[..., 3:] * seen.visible[..., None, None]
    place = torch.cat([view.R_view_cam[..., 2, :], view.size.log()[..., None]], dim=-1)
    return torch.cat(
        [(points * known[..., None]).flatten(-2), torch.cat([cue * trust, trust], -1).flatten(-2), place], -1
    )


def from_view(
    view: View, R_view_root: Tensor, ray_view: Tensor, log_depth_view: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Root rotation [B, T, 3, 3], ray [B, T, 2] and log depth [B, T] in the camera of those in the view.

    ray_view is in sizes from the view's centre; log_depth_view is that of depth times size.
    """
    R_cam_view = view.R_view_cam.transpose(-1, -2)
    z = (log_depth_view - view.size.log()).exp()[..., None]
    pelvis_view = torch.cat([ray_view * view.size[..., None] * z, z], dim=-1)
    pelvis = (R_cam_view @ pelvis_view[..., None])[..., 0]
    depth = pelvis[..., 2:].clamp(min=0.1)
    return R_cam_view @ R_view_root, pelvis[..., :2] / depth, depth[..., 0].log()


def to_view(view: View, R_cam_root: Tensor, pelvis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of `from_view`, from the pelvis [B, T, 3] in metres."""
    pelvis_view = (view.R_view_cam @ pelvis[..., None])[..., 0]
    depth = pelvis_view[..., 2:].clamp(min=0.1)
    ray = pelvis_view[..., :2] / depth / view.size[..., None]
    return view.R_view_cam @ R_cam_root, ray, depth[..., 0].log() + view.size.log()


def _fill(values: Tensor, known: Tensor) -> Tensor:
    """values [B, T, C] with the frames that are not known [B, T] taken from the last, or else the first, known one."""
    frames = torch.arange(values.shape[1], device=values.device).expand_as(known)
    last = torch.where(known, frames, -1).cummax(1).values
    first = torch.where(known, frames, values.shape[1]).amin(1, keepdim=True).clamp(max=values.shape[1] - 1)
    source = torch.where(last >= 0, last, first)
    return values.gather(1, source[..., None].expand_as(values))
