"""Retargeting: hands that met meet again on bodies of other shapes, smoothly, and with feet on the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from standing_motion import standing_motion

from closemesh.body.load import load_open_body
from closemesh.body.skinning import rest_joints
from closemesh.contact.surface import ClosedSurface
from closemesh.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interactions.check import deepest_depth
from closemesh.interactions.closing import second_differences
from closemesh.interactions.correct import correct
from closemesh.interactions.levers import FREE_JOINTS, PosedPairs
from closemesh.interactions.newton import Rows
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.residuals import crossing_rows, meeting_rows
from closemesh.interactions.retarget import retarget, source_shapes
from closemesh.interactions.search import NearSearch
from closemesh.interactions.stiffness import parameter_sigmas
from closemesh.interactions.touching_frames import palm_vertex
from closemesh.motion_data.sequence import MotionSequence

BODY = load_open_body("light")
PALMS = torch.tensor([[palm_vertex(BODY, "right"), palm_vertex(BODY, "right")]])


@pytest.fixture(scope="module")
def handshake() -> MotionSequence:
    """Two people of mean shape who sway face to face, their right palms together."""
    motions = [standing_motion(frames=20, seed=seed) for seed in (0, 1)]
    rotations = np.concatenate([m.rotations for m in motions], axis=1)
    rotations[:, 1, 0] = axis_angle_to_matrix(torch.tensor([0, np.pi, 0])).numpy() @ rotations[:, 1, 0]
    pelvis = np.concatenate([m.pelvis for m in motions], axis=1)
    pelvis[:, 1, 2] = 0.75
    hands = BODY.hand_mean.flatten(0, 1).expand(20, 2, -1, -1)
    start = PairMotion(torch.zeros(20, 2, 10), torch.as_tensor(rotations[:, :, :22]), hands, torch.as_tensor(pelvis))
    search, frames = NearSearch(BODY), torch.arange(20)

    def residuals(posed: PosedPairs, moved: PairMotion) -> Rows:
        meet = meeting_rows(posed, frames, PALMS, torch.zeros(1, 3), 0.002)
        return Rows.join([meet, crossing_rows(posed, search, BODY.faces, 0.004, 0.004)])

    inverse = 1 / parameter_sigmas(PALMS, BODY, rooted=True).expand(20, -1)
    turns, _ = correct(start, BODY, residuals, inverse, second_differences(frames) / 0.03, 15)
    rotations[:, :, :22] = start.moved(turns, torch.zeros(20, 2, 3)).rotations.numpy()
    return replace(
        motions[0],
        rotations=rotations,
        pelvis=pelvis,
        valid=np.ones((20, 2), bool),
        known=np.repeat(motions[0].known, 2, axis=0),
        betas=np.zeros((2, 10), np.float32),
        body_model=BODY.name,
        rest_joints=None,
    )


def as_pair(sequence: MotionSequence) -> PairMotion:
    hands = BODY.hand_mean.flatten(0, 1).expand(len(sequence), 2, -1, -1)
    betas = torch.as_tensor(sequence.betas).expand(len(sequence), -1, -1)
    rotations = torch.as_tensor(sequence.rotations[:, :, :22], dtype=torch.float32)
    return PairMotion(betas, rotations, hands, torch.as_tensor(sequence.pelvis))


def palm_gap(sequence: MotionSequence) -> float:
    """The largest distance in metres from a palm to the partner's surface."""
    vertices = as_pair(sequence).skin(BODY)[0].double().numpy()
    surface = ClosedSurface(BODY.faces.numpy())
    gaps = []
    for a, b in vertices:
        for palm, other in ((a[int(PALMS[0, 0])], b), (b[int(PALMS[0, 1])], a)):
            found = surface.closest(palm.reshape(1, 3), other)
            gaps.append(0.0 if found.inside[0] else found.distance[0])
    return max(gaps)


def palms_apart(sequence: MotionSequence) -> float:
    """The largest distance in metres between the two palms."""
    vertices = as_pair(sequence).skin(BODY)[0]
    return float((vertices[:, 0, PALMS[0, 0]] - vertices[:, 1, PALMS[0, 1]]).norm(dim=-1).max())


@pytest.mark.parametrize(("first", "second"), [(2.0, -2.0), (-2.0, 2.0), (0.0, 2.0)])
def test_hands_that_met_meet_again(handshake: MotionSequence, first: float, second: float) -> None:
    betas = np.zeros((2, 10), np.float32)
    betas[:, 0] = first, second
    assert palms_apart(handshake) < 0.01
    assert palms_apart(replace(handshake, betas=betas)) > 0.02  # Without closing they would not.
    there = retarget(handshake, BODY, betas)
    assert palm_gap(there) < 0.01
    assert np.array_equal(there.betas, betas)  # type: ignore[arg-type]
    vertices, joints = as_pair(there).skin(BODY)
    assert vertices[..., 1].amin(-1).abs().max() < 0.03
    assert (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).max() * 900 < 45
    assert _deepest(there) < _deepest(handshake) + 0.01


def _deepest(sequence: MotionSequence) -> float:
    return float(deepest_depth(as_pair(sequence).skin(BODY)[0], BODY.faces).max())


def test_the_same_shapes_change_next_to_nothing(handshake: MotionSequence) -> None:
    there = retarget(handshake, BODY, handshake.betas)  # type: ignore[arg-type]
    moved = as_pair(there).skin(BODY)[1] - as_pair(handshake).skin(BODY)[1]
    assert moved[:, :, :22].norm(dim=-1).max() < 0.05


def test_a_skeleton_tells_the_shape_it_came_from(handshake: MotionSequence) -> None:
    betas = torch.zeros(2, 10)
    betas[0, 0], betas[1, 0] = 1.5, -1.0
    joints = rest_joints(BODY, betas)[:, :22]
    measured = replace(handshake, betas=None, rest_joints=(joints - joints[:, :1]).numpy())
    found = rest_joints(BODY, source_shapes(measured, BODY))[:, :22]
    assert (found - found[:, :1] - joints + joints[:, :1]).norm(dim=-1).max() < 0.01


def test_people_of_unknown_size_are_refused(handshake: MotionSequence) -> None:
    with pytest.raises(InputError, match="neither shapes nor a skeleton"):
        retarget(replace(handshake, betas=None), BODY, np.zeros((2, 10)))
    with pytest.raises(InputError, match="1 people"):
        retarget(handshake.people(0), BODY, np.zeros((1, 10)))


def test_toes_are_left_alone() -> None:
    assert not {10, 11} & set(FREE_JOINTS)
