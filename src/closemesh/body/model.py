"""The tensors of one SMPL-X-layout body, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class BodyModel:
    """A body in the SMPL-X layout. Metres, y up, facing +z in the zero pose (a T-pose)."""

    name: str
    """What `body_model` says in every stored result: `closemesh_open/std`, or `smplx/` and the file's name."""
    sha256: str
    v_template: Tensor  # [V, 3]
    shape_dirs: Tensor  # [V, 3, B]
    expression_dirs: Tensor  # [V, 3, E]
    pose_dirs: Tensor | None  # [486, V * 3], None when the body has no pose correctives
    joint_template: Tensor  # [55, 3]
    joint_shape_dirs: Tensor  # [55, 3, B + E]
    skin_weights: Tensor  # [V, 55]
    faces: Tensor  # [F, 3] int64
    hand_mean: Tensor  # [2, 15, 3] axis-angle of the relaxed left and right hand
    keypoint_joints: Tensor  # [133, 55] share of each joint in each COCO-WholeBody keypoint
    keypoint_vertices: Tensor  # [133, len(keypoint_vertex_ids)] share of each of those vertices
    keypoint_vertex_ids: Tensor  # [N] int64
    vt: Tensor | None = None  # [U, 2] texture coordinates 0..1, None when the file has none
    ft: Tensor | None = None  # [F, 3] int64, the texture coordinates of each face's corners

    @property
    def num_betas(self) -> int:
        return self.shape_dirs.shape[-1]

    @property
    def num_expressions(self) -> int:
        return self.expression_dirs.shape[-1]

    @property
    def is_open(self) -> bool:
        """True for the bundled body, whose betas no SMPL-X loader may take for its own."""
        return self.name.startswith("closemesh_open")

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> BodyModel:
        """The same body elsewhere or in another precision."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(
            self,
            **{n: t.to(device, dtype if t.is_floating_point() else None) for n, t in tensors.items()},  # type: ignore[arg-type]
        )

    def subset(self, vertex_ids: Tensor) -> BodyModel:
        """The same skeleton with only these vertices [N], in this order; faces among them are kept.

        Keypoints that lose a vertex become nan, so that nobody takes them for something else.
        """
        count = len(self.v_template)
        position = torch.full((count,), -1, dtype=torch.long, device=vertex_ids.device)
        position[vertex_ids] = torch.arange(len(vertex_ids), device=vertex_ids.device)
        faces = position[self.faces]
        poses = None
        if self.pose_dirs is not None:
            poses = self.pose_dirs.reshape(-1, count, 3)[:, vertex_ids].reshape(len(self.pose_dirs), -1).contiguous()
        kept = (faces >= 0).all(-1)
        keypoint_ids = position[self.keypoint_vertex_ids]
        lost = (keypoint_ids < 0) & (self.keypoint_vertices != 0)
        return replace(
            self,
            v_template=self.v_template[vertex_ids],
            shape_dirs=self.shape_dirs[vertex_ids],
            expression_dirs=self.expression_dirs[vertex_ids],
            pose_dirs=poses,
            skin_weights=self.skin_weights[vertex_ids],
            faces=faces[kept],
            ft=None if self.ft is None else self.ft[kept],
            keypoint_vertices=self.keypoint_vertices.masked_fill(lost, torch.nan),
            keypoint_vertex_ids=keypoint_ids.clamp(min=0),
        )

    def keypoint_body(self) -> BodyModel:
        """The few vertices that the keypoints need, for inner loops."""
        return self.subset(self.keypoint_vertex_ids)
