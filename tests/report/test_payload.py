"""The animation, decoded as the page does it, has the joints, bodies and contacts of the result."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch

from closemesh.body.motion import motion_in_world, motion_joints, stream_vertices
from closemesh.body.skinning import forward_kinematics
from closemesh.contact.measure import ContactConfig
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.watertight import watertight_body
from closemesh.geometry.rotations import quaternion_to_matrix
from closemesh.report.payload import ABSENT, EVIDENCE_ROWS, QUATERNION_UNIT, Json, report_payload
from closemesh.report.records import ReportRecords
from closemesh.structures import PoseUncertainty


@pytest.fixture(scope="module")
def payload(records: ReportRecords) -> Json:
    return report_payload(records)


def decode(text: str, dtype: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def posed(person: Json) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations [T, 55, 3, 3] and positions [T, 55, 3] of the joints, world frame."""
    quaternions = decode(person["quaternions"], "<i2", -1, 55, 4) * QUATERNION_UNIT
    rotations = quaternion_to_matrix(torch.as_tensor(quaternions[..., [3, 0, 1, 2]].copy()))
    rest = torch.as_tensor(decode(person["rest_joints"], "<f4", 55, 3).astype(np.float64))
    turned, joints = forward_kinematics(rotations, rest)
    pelvis = decode(person["pelvis"], "<f4", -1, 1, 3)
    return turned.numpy(), joints.numpy() - rest[:1].numpy() + pelvis


def skinned(person: Json, body: Json) -> np.ndarray:
    """Vertices [T, V, 3] as the page skins them."""
    turned, joints = posed(person)
    rest = decode(person["rest_joints"], "<f4", 55, 3)
    vertices = decode(person["vertices"], "<i2", -1, 3) * body["unit"]
    owners = decode(body["skin_joints"], "u1", -1, 4)
    weights = decode(body["skin_weights"], "u1", -1, 4) / 255
    local = vertices[:, None] - rest[owners]  # [V, 4, 3]
    moved = np.einsum("tvkij,vkj->tvki", turned[:, owners], local) + joints[:, owners]
    return np.einsum("vk,tvki->tvi", weights, moved)


def test_joints_are_those_of_the_body_within_a_millimeter(payload: Json, records: ReportRecords) -> None:
    expected = motion_joints(motion_in_world(records.motion, records.camera, records.body), records.body)
    for index, person in enumerate(payload["people"]):
        assert np.linalg.norm(posed(person)[1] - expected[:, index], axis=-1).max() < 1e-3


def test_the_skinned_mesh_is_that_of_the_body(payload: Json, records: ReportRecords) -> None:
    mesh = watertight_body(records.body, "fine")
    expected = np.stack(list(stream_vertices(motion_in_world(records.motion, records.camera, records.body), mesh)))
    for index, person in enumerate(payload["people"]):
        error = np.linalg.norm(skinned(person, payload["body"]) - expected[:, index], axis=-1)
        assert np.median(error) < 3e-3
        assert error.max() < 0.02  # Four joints at most move a vertex.


def test_vertices_in_contact_touch_the_other_person(payload: Json, records: ReportRecords) -> None:
    mesh = watertight_body(records.body, "fine")
    surface = WatertightMesh(mesh.faces.numpy(), mesh.v_template.double().numpy())
    vertices = [one.astype(np.float64) for one in stream_vertices(records.motion, mesh)]  # T of [P, V, 3]
    in_contact = {t for one in records.contacts[0].contacts for t in range(one.start, one.end + 1)}
    assert in_contact
    for person, contact in enumerate(payload["contact"]):
        ids, starts = decode(contact["ids"], "<u2", -1), contact["starts"]
        for frame in range(len(records.clip)):
            chosen = ids[starts[frame] : starts[frame + 1]]
            assert bool(len(chosen)) <= (frame in in_contact)
            if len(chosen):
                found = surface.closest(vertices[frame][person, chosen], vertices[frame][1 - person])
                assert (found.inside | (found.distance < ContactConfig().touch_distance)).all()
        assert starts[-1] == len(ids) > 0


def test_heat_maps_show_what_is_not_seen(records: ReportRecords) -> None:
    observed, valid = records.observations, records.motion.valid.copy()
    keypoints = observed.keypoints.copy()
    keypoints[5:9, 0, 9, 2] = 0  # The left wrist.
    valid[20:, 0] = False
    motion, observed = replace(records.motion, valid=valid), replace(observed, keypoints=keypoints)
    evidence = report_payload(replace(records, motion=motion, observations=observed, contacts=()))["evidence"]
    level = decode(evidence["people"][0], "u1", len(EVIDENCE_ROWS), -1)[evidence["rows"].index("left wrist")]
    assert (level[5:9] == ABSENT - 1).all() and (level[20:] == ABSENT).all()
    assert level[[0, 1, 2, 3, 4, 9, 10]].max() < ABSENT - 1


def test_rotation_stds_are_degrees_of_the_scale(records: ReportRecords) -> None:
    frames, people = records.motion.valid.shape
    std = np.full((frames, people, 22), np.radians(20))
    uncertainty = PoseUncertainty(std, np.zeros((frames, people, 3)), np.zeros((people, 10)))
    rotations = report_payload(replace(records, uncertainty=uncertainty, contacts=()))["rotations"]
    levels = decode(rotations["people"][1], "u1", 22, frames)
    np.testing.assert_allclose(levels / 254 * rotations["max"], 20, atol=0.1)


def test_a_true_motion_comes_with_the_error_of_each_frame(records: ReportRecords) -> None:
    moved = replace(records.motion, transl=records.motion.transl + np.float32(0.5))
    truth = report_payload(replace(records, truth=moved, contacts=()))["truth"]
    assert np.abs(truth["error_mm"]).max() < 0.1  # Relative to the pelvis.
    turned = records.motion.rotations.copy()
    turned[3, 1, 1] = np.eye(3)
    error = np.array(
        report_payload(replace(records, truth=replace(moved, rotations=turned), contacts=()))["truth"]["error_mm"]
    )
    assert error[1, 3] > 1 and (np.delete(error, 3, axis=1) < 0.1).all()
