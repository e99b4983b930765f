"""Where the skin of a body lies on its texture map (UV)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.npz_file import BodyArrays
from closemesh.errors import ModelFileError


class TextureLayout(NamedTuple):
    """Texture coordinates and which of them the corners of each face of the body have."""

    vt: Tensor  # [U, 2] u and v, 0..1
    ft: Tensor  # [F, 3] int64

    def corners(self) -> Tensor:
        """Texture coordinates [F, 3, 2] of the corners of each face."""
        return self.vt[self.ft]


def has_texture(body: BodyModel) -> bool:
    """Whether the body's file says where its skin lies on a texture map."""
    return body.vt is not None and body.ft is not None


def texture_layout(body: BodyModel) -> TextureLayout:
    """The layout of the body's texture map. Raises ModelFileError when its file has none."""
    if body.vt is None or body.ft is None:
        raise ModelFileError(
            f"body {body.name} has no texture coordinates (vt, ft), which appearance needs; "
            "give SMPLX_NEUTRAL.npz as it is distributed, or leave --body-model out"
        )
    return TextureLayout(body.vt, body.ft)


def texture_arrays(data: BodyArrays) -> dict[str, Tensor]:
    """vt [U, 2] and ft [F, 3] of a body file; neither where they are missing or belong to other faces."""
    if "vt" not in data or "ft" not in data:
        return {}
    vt, ft = np.asarray(data["vt"], np.float32), np.asarray(data["ft"], np.int64)
    if vt.shape[1:] != (2,) or ft.shape != data["f"].shape or int(ft.max()) >= len(vt):
        return {}
    return {"vt": torch.as_tensor(vt), "ft": torch.as_tensor(ft)}
