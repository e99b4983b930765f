"""How much depth the coarser meshes for contact lose against the full one, over random embraces."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.watertight import Detail, watertight_body
from closemesh.geometry.rotations import axis_angle_to_matrix

EMBRACES = 25
HALF_TURN = torch.tensor([0.0, np.pi, 0.0])


def deepest_depths(body: BodyModel) -> np.ndarray:
    """[EMBRACES] millimeters, of two people of random shapes who stand face to face with their arms forward."""
    generator = torch.Generator().manual_seed(0)
    surface = WatertightMesh(body.faces.numpy())
    depths = []
    for _ in range(EMBRACES):
        pose = 0.06 * torch.randn(2, 55, 3, generator=generator)
        for side, sign in (("left", -1), ("right", 1)):
            pose[:, JOINT_INDEX[f"{side}_shoulder"]] += torch.tensor([0, sign * 1.1, sign * 0.4])
            pose[:, JOINT_INDEX[f"{side}_elbow"]] += torch.tensor([0, sign * 1.1, 0])
        rotations = axis_angle_to_matrix(pose)
        rotations[1, 0] = axis_angle_to_matrix(HALF_TURN) @ rotations[1, 0]
        betas = torch.randn(2, 10, generator=generator)
        transl = torch.tensor([[0, 0, 0], [0, 0, 0.24]]) + 0.04 * torch.randn(2, 3, generator=generator)
        vertices = skin(body, betas, rotations, transl)[0].double().numpy()
        found = [surface.closest(vertices[a], vertices[b]) for a, b in permutations((0, 1))]
        depths.append(max(np.where(f.inside, f.distance, 0).max() for f in found))
    return 1000 * np.array(depths)


@pytest.fixture(scope="module")
def full_depths() -> np.ndarray:
    return deepest_depths(load_bundled_body("std"))


@pytest.mark.parametrize(("detail", "mean", "worst"), [("fine", 0.3, 1.0), ("coarse", 2.5, 8.0)])
def test_query_bodies_keep_the_depth(full_depths: np.ndarray, detail: Detail, mean: float, worst: float):
    error = np.abs(deepest_depths(watertight_body(load_bundled_body("std"), detail)) - full_depths)
    assert full_depths.min() > 10
    assert error.mean() < mean and error.max() < worst  # Measured: 0.1 and 0.4 mm, 1.6 and 5.0 mm.
