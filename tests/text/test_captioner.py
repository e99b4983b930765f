"""Captions of known bodies are right, and captions of real motion are parsed back unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.datasets.registry import read_motion
from closemesh.motion_files.sequence import MotionSequence, to_body_motion
from closemesh.structures import BodyMotion
from closemesh.text.captioner import RuleConfig, candidates, caption_motion, intervals_where
from closemesh.text.grammar import parse_description, render_description
from closemesh.text.statements import (
    ALWAYS,
    ArmHeight,
    DepthOrder,
    Facing,
    HeadContact,
    HeadPose,
    JointAngle,
    Placement,
    Posture,
    Statement,
    Support,
    TimedStatement,
    Touch,
    TrunkPose,
    Turned,
)
from closemesh.weights.locate import find_model

CAM_UP, WORLD_UP = (0.0, -1.0, 0.0), (0.0, 1.0, 0.0)
FRAMES = 6
Pose = dict[str, tuple[float, float, float]]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_bundled_body("light")


def standing(body: BodyModel, *people: tuple[tuple[float, float, float], Pose]) -> BodyMotion:
    """People in front of a level camera, facing it; for each the pelvis in camera axes and joint rotations."""
    pose = np.zeros((FRAMES, len(people), 55, 3), np.float32)
    pose[:, :, JOINT_INDEX["left_shoulder"], 2], pose[:, :, JOINT_INDEX["right_shoulder"], 2] = -1.3, 1.3
    for person, (_, turns) in enumerate(people):
        for joint, turn in turns.items():
            pose[:, person, JOINT_INDEX[joint]] = turn
    rotations = axis_angle_to_matrix(torch.as_tensor(pose)).numpy()
    rotations[:, :, 0] = np.diag([1, -1, -1]).astype(np.float32) @ rotations[:, :, 0]
    places = np.array([place for place, _ in people], np.float32) - body.joint_template[0].numpy()
    count = FRAMES, len(people)
    return BodyMotion(
        body_model=body.name,
        betas=np.zeros((len(people), 10), np.float32),
        rotations=rotations,
        transl=np.broadcast_to(places, (*count, 3)).copy(),
        expression=np.zeros((*count, 10), np.float32),
        valid=np.ones(count, bool),
        confidence=np.ones(count, np.float32),
    )


def captions_of(motion: BodyMotion, body: BodyModel, up: tuple[float, float, float] = CAM_UP) -> set[Statement]:
    times = np.arange(len(motion.transl)) / 30
    return {one.statement for one in caption_motion(motion, body, times, np.tile(up, (len(times), 1)))}


def test_a_person_who_waves(body: BodyModel):
    turns: Pose = {"left_shoulder": (0, 0, 1.3), "right_elbow": (0, 1.6, 0), "left_knee": (1.5, 0, 0)}
    found = captions_of(standing(body, ((0, 0, 3), turns)), body)
    assert {
        ArmHeight(0, "left", "overhead"),
        ArmHeight(0, "right", "down"),
        JointAngle(0, "left_elbow", "straight"),
        JointAngle(0, "right_elbow", "bent"),
        JointAngle(0, "left_knee", "bent"),
        JointAngle(0, "right_knee", "straight"),
        Placement(0, "left_hand", "above", 0, "head"),
        Placement(0, "left_foot", "above", 0, "right_foot"),
        Posture(0, "upright"),
    } <= found
    assert len({statement.topic for statement in found}) == len(found), "no two statements contradict each other"


@pytest.mark.parametrize(
    ("root", "posture"),
    [
        ((0.9, 0, 0), "leaning_forward"),
        ((-0.9, 0, 0), "leaning_back"),
        ((1.57, 0, 0), "face_down"),
        ((-1.57, 0, 0), "face_up"),
        ((0, 0, 1.57), "on_right_side"),
        ((0, 0, -1.57), "on_left_side"),
        ((3.1, 0, 0), "upside_down"),
    ],
)
def test_postures(body: BodyModel, root: tuple[float, float, float], posture: str):
    found = captions_of(standing(body, ((0, 0, 3), {"pelvis": root})), body)
    assert [s.posture for s in found if isinstance(s, Posture)] == [posture]


@pytest.mark.parametrize(
    ("yaw_a", "yaw_b", "wanted"),
    [
        (1.57, -1.57, Facing(0, 1, "facing_each_other")),
        (-1.57, 1.57, Facing(0, 1, "back_to_back")),
        (1.57, 1.57, Facing(0, 1, "behind")),
        (-1.57, -1.57, Facing(1, 0, "behind")),
        (0, 0, Facing(0, 1, "side_by_side")),
        (1.1, 0, None),
    ],
)
def test_facing(body: BodyModel, yaw_a: float, yaw_b: float, wanted: Facing | None):
    """A is on the left of the image, B on the right; at yaw 0 people face the camera."""
    a, b = {"pelvis": (0.0, yaw_a, 0.0)}, {"pelvis": (0.0, yaw_b, 0.0)}
    found = captions_of(standing(body, ((-0.5, 0, 3), a), ((0.5, 0, 3.4), b)), body)
    assert [s for s in found if isinstance(s, Facing)] == ([wanted] if wanted else [])
    assert DepthOrder(0, 1) in found and DepthOrder(1, 0) not in found
    assert not [s for s in found if isinstance(s, Touch | Support)]


TURN = 0.5  # Radians.
CHIN = "chin_over_left_shoulder"


@pytest.mark.parametrize(
    ("turns", "true"),
    [
        ({"spine1": (0, TURN, 0)}, TrunkPose(0, "twisted_left")),
        ({"spine1": (0, -TURN, 0)}, TrunkPose(0, "twisted_right")),
        ({}, TrunkPose(0, "not_twisted")),
        ({"pelvis": (0, 0, -TURN)}, TrunkPose(0, "leaning_left")),
        ({"pelvis": (0, 0, TURN)}, TrunkPose(0, "leaning_right")),
        ({"pelvis": (0.8 * TURN, 0, 0)}, TrunkPose(0, "leaning_forward_a_little")),
        ({"pelvis": (-0.8 * TURN, 0, 0)}, TrunkPose(0, "leaning_back_a_little")),
        ({"pelvis": (0, 0, TURN)}, TrunkPose(0, "left_hip_higher")),
        ({"spine3": (0, 0, -TURN)}, TrunkPose(0, "right_shoulder_higher")),
        ({}, TrunkPose(0, "shoulders_level")),
        ({}, TrunkPose(0, "hips_high")),
        (
            {f"{s}_{j}": (x, 0, 0) for s in ("left", "right") for j, x in (("hip", -1.6), ("knee", 1.6))},
            TrunkPose(0, "hips_low"),
        ),
        ({f"{s}_hip": (-1.6, 0, 0) for s in ("left", "right")}, TrunkPose(0, "hips_near_the_ground")),
        ({"neck": (0, TURN, 0)}, HeadPose(0, "turned_left")),
        ({"neck": (0, -TURN, 0)}, HeadPose(0, "turned_right")),
        ({"neck": (0, 0, -TURN)}, HeadPose(0, "tilted_left")),
        ({"neck": (0, 0, TURN)}, HeadPose(0, "tilted_right")),
        ({"neck": (2 * TURN, 0, 0)}, HeadPose(0, "bent_forward")),
        ({"neck": (-TURN, 0, 0)}, HeadPose(0, "bent_back")),
        ({}, HeadPose(0, "turned_ahead")),
        ({}, HeadPose(0, "not_tilted")),
    ],
)
def test_hips_shoulders_and_head(body: BodyModel, turns: Pose, true: Statement):
    found = captions_of(standing(body, ((0, 0, 3), turns)), body)
    assert true in found
    assert len({statement.topic for statement in found}) == len(found), "no two statements contradict each other"


@pytest.mark.parametrize(
    ("yaw", "direction"), [(1.57, "toward"), (-1.57, "away"), (0.0, "left_side_toward"), (3.14, "right_side_toward")]
)
def test_turned(body: BodyModel, yaw: float, direction: str):
    """A is on the left of the image, B on the right; at yaw 0 A faces the camera."""
    motion = standing(body, ((-0.5, 0, 3), {"pelvis": (0.0, yaw, 0.0)}), ((0.5, 0, 3), {}))
    found = [one for one in captions_of(motion, body) if isinstance(one, Turned) and one.person_a == 0]
    assert set(found) == {Turned(0, section, direction, 1) for section in ("hips", "shoulders", "head")}


@pytest.mark.parametrize(
    ("x", "z", "wanted"),
    [
        (0.3, 0.0, {HeadContact(0, 1, "foreheads_touching")}),
        (0.22, 0.14, {HeadContact(1, 0, "cheek_to_cheek"), *(HeadContact(*p, CHIN) for p in ((0, 1), (1, 0)))}),
        (0.8, 0.0, set()),
    ],
)
def test_heads_in_contact(body: BodyModel, x: float, z: float, wanted: set[Statement]):
    """Face to face; where B is moved to the side, the heads are over each other's left shoulder."""
    a, b = {"pelvis": (0.0, 1.57, 0.0)}, {"pelvis": (0.0, -1.57, 0.0)}
    found = captions_of(standing(body, ((0, 0, 3), a), ((x, 0, 3 + z), b)), body)
    assert {one for one in found if isinstance(one, HeadContact)} == wanted


def test_a_person_who_lies_in_the_air_on_another_is_carried(body: BodyModel):
    lying: Pose = {"pelvis": (1.5, 0, 0)}
    found = captions_of(standing(body, ((0, 0, 3), {}), ((0.0, -0.6, 3.0), lying)), body)
    assert Support(0, 1) in found and Support(1, 0) not in found
    assert [s for s in found if isinstance(s, Touch)]


def test_invalid_people_have_no_statements(body: BodyModel):
    motion = standing(body, ((0, 0, 3), {}), ((0.5, 0, 3), {}))
    motion.valid[:, 1] = False
    assert all(statement.people == (0,) for statement in captions_of(motion, body))
    motion.confidence[:] = 0.5
    captions = caption_motion(motion, body, np.arange(FRAMES) / 30, np.tile(CAM_UP, (FRAMES, 1)))
    assert captions and all(0.3 < one.confidence <= 0.5 for one in captions)


def test_intervals_bridge_gaps_and_drop_short_runs():
    times = np.arange(40) / 30
    holds = np.zeros(40, bool)
    holds[[0, 1, 2, 3, 6, 7, 8, 30]] = True
    assert list(intervals_where(holds, times, RuleConfig())) == [(0, 8)]
    assert list(intervals_where(np.ones(2, bool), times[:2], RuleConfig())) == [(0, 1)]
    assert list(intervals_where(np.zeros(40, bool), times, RuleConfig())) == []


def test_what_holds_in_a_photo_has_no_times(body: BodyModel):
    motion = standing(body, ((0, 0, 3), {}), ((1, 0, 3), {}))
    photo = motion.with_pose(
        **{name: getattr(motion, name)[:1] for name in ("rotations", "transl", "expression", "valid", "confidence")}
    )
    found = caption_motion(photo, body, np.zeros(1), np.array([CAM_UP]))
    assert {one.statement for one in found} == captions_of(motion, body)
    assert {(one.start, one.end) for one in found} == {ALWAYS}


def test_candidates_are_different():
    tried = list(candidates(3))
    assert len(set(tried)) == len(tried)


WINDOWS = sorted(find_model("benchmark/README.md").parent.glob("*.npz"))


def of_window(path: Path, body: BodyModel) -> tuple[MotionSequence, tuple[TimedStatement, ...]]:
    sequence = read_motion(path)
    up = np.tile(WORLD_UP, (len(sequence), 1))
    return sequence, caption_motion(to_body_motion(sequence, body), body, sequence.times, up)


@pytest.mark.parametrize("path", WINDOWS[::3], ids=lambda path: path.stem)
def test_captions_of_real_motion_are_parsed_back(body: BodyModel, path: Path):
    sequence, captions = of_window(path, body)
    captions = tuple(TimedStatement(one.statement, round(one.start, 2), round(one.end, 2)) for one in captions)
    assert len(captions) > 20
    assert parse_description(render_description(captions, seed=len(captions))) == captions
    for time in sequence.times[::10]:
        topics = [one.statement.topic for one in captions if one.start <= time <= one.end]
        assert len(set(topics)) == len(topics), "no two statements contradict each other"


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        ("back_to_back_00000_00", Facing(0, 1, "back_to_back")),
        ("hug_from_behind_00000_00", Facing(1, 0, "behind")),
        ("piggyback_00000_00", Support(0, 1)),
        ("handshake_00000_00", Touch(0, "right_hand", 1, "right_hand")),
    ],
)
def test_known_facts_of_a_window_are_found(body: BodyModel, window: str, wanted: Statement):
    _, captions = of_window(find_model(f"benchmark/{window}.npz"), body)
    assert wanted in {one.statement for one in captions}


def test_a_tilted_camera_gives_the_same_statements(known_scene: KnownScene):
    """Gravity comes from the pose of the camera, not from the image."""
    scene = known_scene
    up = scene.camera.T_cam_world[:, :3, 1]
    found = {one.statement for one in caption_motion(scene.motion, scene.body, scene.clip.times, up)}
    assert {Posture(0, "upright"), Posture(1, "upright"), DepthOrder(0, 1)} <= found
