"""One door for bodies: the bundled open body, or a licensed SMPL-X file of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from closemesh.body.build import build_body
from closemesh.body.feet import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.body.npz_file import read_body_arrays
from closemesh.body.points import PointBody, point_body
from closemesh.weights.search import find_model, sha256_of

OpenVariant = Literal["std", "mid", "light", "closed"]
"""std is the default; mid and light are coarser, with the same betas, for contact queries and inner loops."""


def load_body(path: str | Path | None = None, variant: OpenVariant = "std") -> BodyModel:
    """The body to reconstruct: `path`, else $CLOSEMESH_BODY_MODEL, else the bundled open body in this variant.

    Raises ModelFileError when the file is missing or no SMPL-X-layout body.
    """
    chosen = path or os.environ.get("CLOSEMESH_BODY_MODEL")
    if chosen is None:
        return load_open_body(variant)
    from closemesh.body.licensed import load_licensed_body

    return load_licensed_body(Path(chosen).expanduser())


def load_open_body(variant: OpenVariant = "std") -> BodyModel:
    """The bundled open body."""
    path = find_model(f"open_body/open_body_{variant}.npz")
    return build_body(read_body_arrays(path), f"closemesh_open/{variant}", sha256_of(path))


def fitting_points(body: BodyModel) -> PointBody:
    """The keypoints and soles of `body` for inner loops."""
    return point_body(body, sole_vertices(body))
