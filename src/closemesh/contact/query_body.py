"""The closed mesh that contact is measured on, for a body of any make."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from closemesh.body.load import load_open_body
from closemesh.body.model import BodyModel
from closemesh.contact.holes import close_holes

Detail = Literal["coarse", "fine"]
"""Over 25 random embraces the deepest depth on fine is 0.1 mm from that on the full open body (0.4 at worst), on coarse
1.6 mm (5.0), mostly too shallow, at 0.4 times the time of fine; the tests hold it."""

_SAME = 6e-3  # Metres; the joints of the bundled meshes differ from each other by 5.4 mm at most.


def query_body(body: BodyModel, detail: Detail = "fine") -> BodyModel:
    """A body with the same betas and skeleton whose mesh is one closed surface; its keypoints mean nothing.

    The open body has such meshes of its own: fine for what is reported, coarse for inner loops. Of any other mesh the
    largest connected part is taken (eyeballs drop out) and its holes are closed; detail then changes nothing.
    """
    bundled = load_open_body("mid" if detail == "fine" else "light") if body.is_open else None
    if bundled is not None and _same_skeleton(bundled, body):
        chosen = bundled
    else:
        chosen = close_holes(body.subset(_largest_part(body.faces)))
    return chosen.to(body.v_template.device, body.v_template.dtype)


def _same_skeleton(a: BodyModel, b: BodyModel) -> bool:
    """False for a user's own body in the layout of the open one, whose shape the bundled meshes do not have."""
    pairs = ((a.joint_template, b.joint_template), (a.joint_shape_dirs, b.joint_shape_dirs))
    return all(torch.allclose(x.cpu(), y.to("cpu", x.dtype), atol=_SAME) for x, y in pairs)


def _largest_part(faces: Tensor) -> Tensor:
    """Ids [N] of the vertices of the connected part with the most faces."""
    f: NDArray[np.int64] = faces.cpu().numpy()
    count = int(f.max()) + 1
    links = coo_array((np.ones(f.size), (f.reshape(-1), f[:, [1, 2, 0]].reshape(-1))), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    largest = np.bincount(labels[f[:, 0]]).argmax()
    return torch.as_tensor(np.flatnonzero(labels == largest), device=faces.device)
