"""Texels are on the skin, one per index of the map, in about the wanted number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.avatars.render import surface_frames
from closemesh.avatars.surface import sample_surface, surface_body, uv_map_side
from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body.model import BodyModel, uv_map
from closemesh.core.errors import ModelFileError
from closemesh.weights.locate import find_model


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_bundled_body("light")


@pytest.mark.parametrize("variant", ["std", "light"])
def test_texels_map_back_from_the_skin(variant) -> None:
    body = load_bundled_body(variant)
    surface = sample_surface(body, 128)
    points = (surface.barycentric[..., None] * body.v_template[surface.corners]).sum(1)
    # From the body back to the map, by the nearest point in the plane of the face.
    a, b, c = body.v_template[body.faces[surface.face_ids]].unbind(1)
    weights = torch.linalg.lstsq(torch.stack([b - a, c - a], -1).double(), (points - a)[..., None].double()).solution
    weights = torch.cat([1 - weights.sum(1), weights[..., 0]], dim=1).float()
    uv = (weights[..., None] * uv_map(body).corners()[surface.face_ids]).sum(1)
    centers = (torch.stack([surface.columns, surface.rows], -1) + 0.5) / surface.side
    millimeters = 1e3 * ((uv - centers) * surface.side * surface.sizes.amax(-1, keepdim=True)).norm(dim=-1)
    assert float(millimeters.max()) < 0.1
    assert (surface.barycentric >= 0).all()
    assert float((surface.barycentric.sum(1) - 1).abs().max()) < 1e-5
    assert len(surface.texels.unique()) == len(surface)


@pytest.mark.parametrize("wanted", [2_000, 10_000, 40_000])
def test_the_side_gives_about_the_wanted_number(body, wanted) -> None:
    assert len(sample_surface(body, uv_map_side(body, wanted))) == pytest.approx(wanted, rel=0.12)


def test_the_texels_have_the_area_of_the_skin(body) -> None:
    a, b, c = body.v_template[body.faces].unbind(1)
    skin = float(torch.linalg.cross(b - a, c - a).norm(dim=-1).sum() / 2)
    assert float(sample_surface(body, 192).sizes.prod(-1).sum()) == pytest.approx(skin, rel=0.02)


def test_texel_sizes_are_the_distances_to_their_neighbors(body) -> None:
    surface = sample_surface(body, 128)
    frames = surface_frames(surface, body.v_template)
    places = {texel: k for k, texel in enumerate(surface.texels.tolist())}
    for step in (1, surface.side):  # The neighbor to the right, the neighbor below.
        pairs = [(k, places[texel + step]) for texel, k in places.items() if texel + step in places]
        here, next_to = torch.tensor([(a, b) for a, b in pairs if surface.face_ids[a] == surface.face_ids[b]]).T
        offset = frames.points[:, next_to] - frames.points[:, here]  # [3, N]
        x, y, z = (frames.axes[..., here] * offset).sum(1)
        cosine, sine = surface.turns[here].cos(), surface.turns[here].sin()
        longest, shortest = surface.sizes[here].T
        spans = torch.hypot((cosine * x + sine * y) / longest, (cosine * y - sine * x) / shortest)
        assert len(here) > 1000
        assert torch.allclose(spans, torch.ones_like(spans), atol=5e-3)
        assert float(z.abs().max()) < 1e-5


def test_bundled_bodies_use_the_light_surface_and_others_their_own() -> None:
    body = load_bundled_body("std")
    assert surface_body(body).name == "closemesh_open/light"
    own = replace(body, name="smplx/SMPLX_NEUTRAL")
    assert surface_body(own) is own


@pytest.mark.parametrize("lacking", ["vt", "ft"])
def test_a_file_without_texture_coordinates_is_reported(tmp_path, lacking) -> None:
    with np.load(find_model("open_body/open_body_light.npz")) as file:
        arrays = {name: file[name] for name in file.files if name != lacking}
    np.savez(tmp_path / "bare.npz", **arrays)
    body = load_body(tmp_path / "bare.npz")
    with pytest.raises(ModelFileError, match="texture coordinates"):
        sample_surface(body, 64)


def test_a_subset_of_a_body_has_the_same_uv(body) -> None:
    part = body.subset(torch.arange(1500))
    layout = uv_map(part)
    assert len(layout.ft) == len(part.faces)
    whole = {tuple(face): tuple(ft) for face, ft in zip(body.faces.tolist(), body.ft.tolist(), strict=True)}
    assert all(
        whole[tuple(face)] == tuple(ft) for face, ft in zip(part.faces.tolist(), layout.ft.tolist(), strict=True)
    )
