"""BodyModel, the tensors of one body in the SMPL-X layout, and its UV map."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from closemesh.body.smplx_files import BodyArrays
from closemesh.core.errors import ModelFileError
from closemesh.core.tensor_dataclass import TensorDataclass


@dataclass(frozen=True)
class BodyModel(TensorDataclass):
    """A body in the SMPL-X layout; meters, y up, facing +z in the zero pose (a T-pose)."""

    TIME_AXIS: ClassVar[int | None] = None

    name: str
    """`body_model` of every stored result: `closemesh_open/std`, or `smplx/` and the name of the file."""
    sha256: str
    v_template: Tensor  # [V, 3]
    shape_dirs: Tensor  # [V, 3, B]
    expression_dirs: Tensor  # [V, 3, E]
    pose_dirs: Tensor | None  # [486, V * 3]; None without pose correctives
    joint_template: Tensor  # [55, 3]
    joint_shape_dirs: Tensor  # [55, 3, B + E]
    skin_weights: Tensor  # [V, 55]
    faces: Tensor  # [F, 3] int64
    hand_mean: Tensor  # [2, 15, 3] axis-angle of the relaxed left and right hand
    keypoint_joints: Tensor  # [133, 55] weight of each joint in each COCO-WholeBody keypoint
    keypoint_vertices: Tensor  # [133, N] weight of each of the vertices below
    keypoint_vertex_ids: Tensor  # [N] int64
    vt: Tensor | None = None  # [U, 2] texture coordinates 0..1; None when the file has none
    ft: Tensor | None = None  # [F, 3] int64, texture coordinate of each corner of a face

    @property
    def num_betas(self) -> int:
        return self.shape_dirs.shape[-1]

    @property
    def num_expressions(self) -> int:
        return self.expression_dirs.shape[-1]

    @property
    def is_bundled(self) -> bool:
        """True for the bundled body, whose betas mean nothing to SMPL-X."""
        return self.name.startswith("closemesh_open")

    @property
    def gender(self) -> str:
        """`female` or `male` for a licensed body whose file is named so, as SMPLX_FEMALE.npz is, else `neutral`."""
        words = re.split(r"[^a-z]+", self.name.split("/")[-1].lower())
        return next((word for word in ("female", "male") if word in words and not self.is_bundled), "neutral")

    def subset(self, vertex_ids: Tensor) -> BodyModel:
        """The same skeleton with only the vertices vertex_ids [N], in this order, and the faces among them.

        Keypoints of a missing vertex become nan.
        """
        count = len(self.v_template)
        position = torch.full((count,), -1, dtype=torch.long, device=vertex_ids.device)
        position[vertex_ids] = torch.arange(len(vertex_ids), device=vertex_ids.device)
        faces = position[self.faces]
        poses = None
        if self.pose_dirs is not None:
            poses = self.pose_dirs.reshape(-1, count, 3)[:, vertex_ids].reshape(len(self.pose_dirs), -1).contiguous()
        complete = (faces >= 0).all(-1)
        keypoint_ids = position[self.keypoint_vertex_ids]
        lost = (keypoint_ids < 0) & (self.keypoint_vertices != 0)
        return replace(
            self,
            v_template=self.v_template[vertex_ids],
            shape_dirs=self.shape_dirs[vertex_ids],
            expression_dirs=self.expression_dirs[vertex_ids],
            pose_dirs=poses,
            skin_weights=self.skin_weights[vertex_ids],
            faces=faces[complete],
            ft=None if self.ft is None else self.ft[complete],
            keypoint_vertices=self.keypoint_vertices.masked_fill(lost, torch.nan),
            keypoint_vertex_ids=keypoint_ids.clamp(min=0),
        )

    def keypoint_body(self) -> BodyModel:
        """The body with only the vertices that the keypoints need."""
        return self.subset(self.keypoint_vertex_ids)


class UVMap(NamedTuple):
    """Texture coordinates, and which of them each corner of a face has."""

    vt: Tensor  # [U, 2] u and v, 0..1
    ft: Tensor  # [F, 3] int64

    def corners(self) -> Tensor:
        """Texture coordinates [F, 3, 2] of the corners of each face."""
        return self.vt[self.ft]


def has_uv(body: BodyModel) -> bool:
    """Whether the body has texture coordinates."""
    return body.vt is not None and body.ft is not None


def uv_map(body: BodyModel) -> UVMap:
    """The UV map of the body. Raises ModelFileError when its file has none."""
    if body.vt is None or body.ft is None:
        raise ModelFileError(
            f"body {body.name} has no texture coordinates (vt, ft), which appearance needs; "
            "give SMPLX_NEUTRAL.npz as it is distributed, or leave --body-model out"
        )
    return UVMap(body.vt, body.ft)


def uv_arrays(data: BodyArrays) -> dict[str, Tensor]:
    """vt [U, 2] and ft [F, 3] of a body file; empty where they are missing or belong to other faces."""
    if "vt" not in data or "ft" not in data:
        return {}
    vt, ft = np.asarray(data["vt"], np.float32), np.asarray(data["ft"], np.int64)
    if vt.shape[1:] != (2,) or ft.shape != data["f"].shape or int(ft.max()) >= len(vt):
        return {}
    return {"vt": torch.as_tensor(vt), "ft": torch.as_tensor(ft)}
