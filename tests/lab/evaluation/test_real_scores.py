"""Scores of a small scene with known answers: identity, contact, depth order, joints, residuals, masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_scenes import SIZE, KnownScene

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.errors import InputError
from closemesh.lab.evaluation.real_facts import (
    ClipFacts,
    ContactFact,
    DepthFact,
    MarkedJoint,
    NoContactFact,
    PersonPoint,
)
from closemesh.lab.evaluation.real_masks import ReferenceMasks, body_masks, frame_position, overlap, reference_masks
from closemesh.lab.evaluation.real_people import assign_tracks, photo_joints, track_at
from closemesh.lab.evaluation.real_result import ClipResult
from closemesh.lab.evaluation.real_scores import OBSERVED, ClipScores, score_clip
from closemesh.structures import Contact, PairContacts
from closemesh.video.video_files import write_video

LAST = 11


@pytest.fixture
def result(known_scene: KnownScene) -> ClipResult:
    """Perfect detections of a known motion; hand on trunk in frames 4 to 7."""
    touch = Contact(0, 1, "right_hand", "abdomen", 4, 7, 0.0, 0.02)
    pair = PairContacts(0, 1, np.zeros(12), np.linspace(0, 0.011, 12), (touch,))
    return ClipResult(
        known_scene.clip,
        known_scene.observations,
        known_scene.body,
        {"optimised": known_scene.motion},
        {"optimised": known_scene.camera},
        {"optimised": (pair,)},
        None,
    )


def trunk(result: ClipResult, frame: int, person: int) -> tuple[float, float]:
    """The pixel in the middle of the shoulders and hips."""
    x, y = result.observations.keypoints[frame, person, [5, 6, 11, 12], :2].mean(0)
    return float(x), float(y)


@pytest.fixture
def facts(result: ClipResult) -> ClipFacts:
    """Two people in the first frame: `front` is track 0, `back` is track 1."""
    people = {name: PersonPoint(name, 0, trunk(result, 0, p)) for p, name in enumerate(("front", "back"))}
    return ClipFacts(Path("known.facts.json"), "known.mp4", people=people)


def score(result: ClipResult, facts: ClipFacts) -> ClipScores:
    return score_clip(result, facts, None, None)


def contact(parts_a: set[str], parts_b: set[str], frames: tuple[int, int], a: str = "front", b: str = "back"):
    return ContactFact("", a, frozenset(parts_a), b, frozenset(parts_b), frames)


def swapped_from(result: ClipResult, frame: int) -> ClipResult:
    """The same detections with the two tracks exchanged from a frame on."""
    seen = result.observations
    changed = {}
    for name in ("boxes", "keypoints"):
        array = getattr(seen, name).copy()
        array[frame:] = array[frame:, ::-1]
        changed[name] = array
    return replace(result, observations=replace(seen, **changed))


def test_people_are_found_where_they_are(result: ClipResult, facts: ClipFacts) -> None:
    scores = score(result, facts)
    assert scores.people == {"front": 0, "back": 1}
    assert scores.values[OBSERVED] == {"people-found": 100, "other-tracks": 0}


def test_a_person_without_a_track_is_not_found(result: ClipResult, facts: ClipFacts) -> None:
    more = {**(facts.people or {}), "third": PersonPoint("third", 0, (5.0, 5.0))}
    assert score(result, replace(facts, people=more)).values[OBSERVED]["people-found"] == pytest.approx(200 / 3)
    optional = replace(facts, people=more, optional_people=frozenset({"third"}))
    assert score(result, optional).values[OBSERVED]["people-found"] == 100


def test_two_people_on_one_track_are_one_person_found(result: ClipResult, facts: ClipFacts) -> None:
    seen = result.observations
    detected = seen.detected.copy()
    detected[:, 1] = False
    alone = replace(result, observations=replace(seen, detected=detected))
    x, y = trunk(result, 0, 0)
    twice = {"front": PersonPoint("front", 0, (x, y)), "back": PersonPoint("back", 0, (x + 1, y))}
    assert score(alone, replace(facts, people=twice)).values[OBSERVED] == {"people-found": 50, "other-tracks": 1}


def test_identity_counts_the_points_on_the_own_track(result: ClipResult, facts: ClipFacts) -> None:
    points = tuple(
        PersonPoint(name, frame, trunk(result, frame, p))
        for p, name in enumerate(("front", "back"))
        for frame in (3, 6, 9)
    )
    marked = replace(facts, identity=points)
    assert score(result, marked).values[OBSERVED]["identity"] == 100
    # From frame 9 on each track is on the other person: two of eight points are wrong.
    assert score(swapped_from(result, 9), marked).values[OBSERVED]["identity"] == 75
    held = assign_tracks(marked, result.clip, swapped_from(result, 9).observations).held
    assert held.tolist() == [True, True, True, True, False, True, True, False]


def test_identity_is_that_of_people_who_must_be_found(result: ClipResult, facts: ClipFacts) -> None:
    people = {**(facts.people or {}), "third": PersonPoint("third", 0, (5.0, 5.0))}
    points = tuple(PersonPoint("front", frame, trunk(result, frame, 0)) for frame in (3, 6))
    marked = replace(facts, people=people, identity=points)
    assert score(result, marked).values[OBSERVED]["identity"] == 80
    optional = replace(marked, optional_people=frozenset({"third"}))
    assert score(result, optional).values[OBSERVED]["identity"] == 100


def test_a_point_beside_everyone_is_on_no_track(result: ClipResult) -> None:
    assert track_at(result.observations, 0, trunk(result, 0, 1)) == 1
    assert track_at(result.observations, 0, (2.0, 2.0)) is None


def test_contacts_hold_in_the_frames_that_were_measured(result: ClipResult, facts: ClipFacts) -> None:
    hand, trunk_parts = {"right_hand", "right_forearm"}, {"abdomen", "chest"}
    stated = (
        contact(hand, trunk_parts, (4, 7)),
        contact(trunk_parts, hand, (2, 9), "back", "front"),
        contact(trunk_parts, hand, (4, 7)),  # The wrong way round.
        contact({"left_hand"}, trunk_parts, (4, 7)),
    )
    scores = score(result, replace(facts, contacts=stated))
    assert [one.percent["optimised"] for one in scores.facts] == [100, 50, 0, 0]
    assert scores.values["optimised"]["contacts"] == 37.5
    assert scores.values["optimised"]["facts"] == 37.5


def test_facts_of_a_clip_of_which_every_second_frame_is_processed(result: ClipResult, facts: ClipFacts) -> None:
    half = replace(result, clip=replace(result.clip, frame_indices=2 * np.arange(12)))
    stated = (contact({"right_hand"}, {"abdomen"}, (8, 15)), contact({"right_hand"}, {"abdomen"}, (1, 23)))
    scores = score(half, replace(facts, contacts=stated))
    assert [one.percent["optimised"] for one in scores.facts] == pytest.approx([100, 100 * 4 / 11])
    with pytest.raises(InputError, match=r"contacts\[0\] names frame 24; the last frame is 23"):
        score(half, replace(facts, contacts=(contact({"right_hand"}, {"abdomen"}, (8, 24)),)))


def test_nothing_may_touch_where_nothing_does(result: ClipResult, facts: ClipFacts) -> None:
    stated = (NoContactFact((0, 3), None), NoContactFact((0, 7), None), NoContactFact((4, 5), ("back", "front")))
    never = (("thigh",), ("hand", "abdomen"))
    scores = score(result, replace(facts, apart=stated, never=never))
    assert [one.percent["optimised"] for one in scores.facts] == pytest.approx([100, 50, 0, 100, 100 * 8 / 12])
    assert "contacts" not in scores.values["optimised"]


def test_contact_of_a_person_who_was_not_found_does_not_hold(result: ClipResult, facts: ClipFacts) -> None:
    missing = {**(facts.people or {}), "back": PersonPoint("back", 0, (2.0, 2.0))}
    stated = replace(facts, people=missing, contacts=(contact({"right_hand"}, {"abdomen"}, (4, 7)),))
    assert score(result, stated).values["optimised"]["contacts"] == 0


def test_depth_order_is_that_of_the_trunks(result: ClipResult, facts: ClipFacts) -> None:
    depth = result.motions["optimised"].transl[0, :, 2]
    nearer, farther = ("front", "back") if depth[0] < depth[1] else ("back", "front")
    right = replace(facts, depth_order=(DepthFact(nearer, farther, (0, LAST)),))
    assert score(result, right).values["optimised"]["depth-order"] == 100
    wrong = replace(facts, depth_order=(DepthFact(farther, nearer, (0, LAST)),))
    assert score(result, wrong).values["optimised"]["depth-order"] == 0
    valid = result.motions["optimised"].valid.copy()
    valid[:3] = False
    absent = replace(result, motions={"optimised": replace(result.motions["optimised"], valid=valid)})
    assert score(absent, right).values["optimised"]["depth-order"] == 75


def test_marked_joints_are_measured_in_diagonals(result: ClipResult, facts: ClipFacts) -> None:
    names = ("left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_ankle", "right_ankle")
    pixels = [result.observations.keypoints[2, 0, KEYPOINT_INDEX[name], :2].astype(float) for name in names]
    diagonal = np.linalg.norm(np.ptp(pixels, axis=0))
    exact = [MarkedJoint("front", 2, name, (x, y), False) for name, (x, y) in zip(names, pixels, strict=True)]
    x, y = pixels[0]
    moved = MarkedJoint("front", 2, "left_shoulder", (x, y + 0.1 * diagonal), True)
    scores = score(result, replace(facts, joints=(*exact[1:], moved, *exact[:1])))
    for stage, kind in ((OBSERVED, "keypoint"), ("optimised", "joint")):
        values = scores.values[stage]
        assert values[f"{kind}-distance"] == pytest.approx(0, abs=1e-3)
        assert values[f"{kind}-distance-hidden"] == pytest.approx(10, abs=0.5)
        assert values[f"{kind}s-near"] == pytest.approx(100 * 6 / 7)


def test_keypoints_that_the_detector_lacks_have_no_distance(result: ClipResult, facts: ClipFacts) -> None:
    seen = result.observations
    keypoints = seen.keypoints.copy()
    keypoints[2, 0, KEYPOINT_INDEX["left_knee"]] = 0
    x, y = seen.keypoints[2, 0, KEYPOINT_INDEX["right_knee"], :2].tolist()
    joints = tuple(MarkedJoint("front", 2, name, (x, y), False) for name in ("right_knee", "left_knee"))
    lacking = replace(result, observations=replace(seen, keypoints=keypoints))
    values = score(lacking, replace(facts, joints=joints)).values[OBSERVED]
    assert values["keypoint-distance"] == 0
    assert values["keypoints-near"] == 50


def test_joints_of_a_person_who_was_not_found_are_not_near(result: ClipResult, facts: ClipFacts) -> None:
    missing = {**(facts.people or {}), "back": PersonPoint("back", 0, (2.0, 2.0))}
    joints = (MarkedJoint("back", 2, "nose", (100.0, 100.0), False),)
    values = score(result, replace(facts, people=missing, joints=joints)).values
    assert values[OBSERVED] == {"people-found": 50, "other-tracks": 1, "keypoints-near": 0}
    assert values["optimised"]["joints-near"] == 0


def test_residuals_are_in_sigmas(result: ClipResult, facts: ClipFacts) -> None:
    assert score(result, facts).values["optimised"]["residual"] == pytest.approx(0, abs=1e-3)
    seen = result.observations
    keypoints, sigmas = seen.keypoints.copy(), np.full_like(seen.sigmas, 2)
    keypoints[..., 0] += 3
    knee, nose = KEYPOINT_INDEX["left_knee"], KEYPOINT_INDEX["nose"]
    sigmas[..., knee] = 6
    keypoints[..., nose, 2] = 0.5  # Not above 0.5: not counted.
    moved = replace(result, observations=replace(seen, keypoints=keypoints, sigmas=sigmas))
    scores = score(moved, facts)
    assert scores.values["optimised"]["residual"] == pytest.approx(1.5, abs=1e-3)
    assert scores.residuals["optimised"]["left_knee"] == pytest.approx(0.5, abs=1e-3)
    assert "nose" not in scores.residuals["optimised"]


def test_penetration_and_focal_length(result: ClipResult, facts: ClipFacts) -> None:
    values = score(result, replace(facts, focal_px=480.0)).values["optimised"]
    assert values["depth-max"] == pytest.approx(11)
    assert values["focal-error"] == pytest.approx(25)  # 600 for 480.
    without = score(replace(result, contacts={}), facts).values["optimised"]
    assert "depth-max" not in without


def test_the_psnr_is_that_of_the_last_motion(result: ClipResult, facts: ClipFacts) -> None:
    two = {name: result.motions["optimised"] for name in ("refined", "optimised")}
    cameras = dict.fromkeys(two, result.cameras["optimised"])
    values = score(replace(result, motions=two, cameras=cameras, psnr=21.5), facts).values
    assert values["optimised"]["PSNR"] == 21.5
    assert "PSNR" not in values["refined"]
    assert "PSNR" not in score(result, facts).values["optimised"]


def test_feet_that_stand_do_not_slide(result: ClipResult, facts: ClipFacts) -> None:
    assert score(result, facts).values["optimised"]["foot-sliding"] < 0.5
    motion = result.motions["optimised"]
    drift = motion.transl + 0.004 * np.arange(12)[:, None, None] * np.array([1.0, 0, 0])
    sliding = replace(result, motions={"optimised": motion.with_pose(transl=drift.astype(np.float32))})
    assert score(sliding, facts).values["optimised"]["foot-sliding"] == pytest.approx(4, abs=0.5)


def rectangle(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[10:20, x0:x1] = True
    return mask


def test_overlap_of_rectangles() -> None:
    found = overlap({0: rectangle(0, 20)}, {0: rectangle(10, 20), 5: rectangle(0, 64)})
    assert found is not None
    assert (found.iou, found.covered, found.inside) == (50, 100, 50)
    assert overlap({1: rectangle(0, 20)}, {0: rectangle(0, 20)}) is None


def test_bodies_cover_their_own_silhouette(result: ClipResult, facts: ClipFacts) -> None:
    motion, camera = result.motions["optimised"], result.cameras["optimised"]
    own = body_masks(motion, camera, result.body, [0, 6])
    values = score_clip(result, facts, None, ReferenceMasks("masks", own)).values["optimised"]
    assert values["body-IoU"] == values["covered"] == values["inside"] == 100
    box = result.observations.boxes[0].astype(int)
    rows, columns = np.nonzero(own[0])
    assert abs(columns.min() - box[:, 0].min()) < 25
    assert abs(rows.max() - box[:, 3].max()) < 25
    shifted = {0: np.roll(own[0], 300, axis=1)}
    assert score_clip(result, facts, None, ReferenceMasks("masks", shifted)).values["optimised"]["body-IoU"] < 20


def test_own_masks_are_compared_as_one(result: ClipResult, facts: ClipFacts, tmp_path: Path) -> None:
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[100:200, 0:50], labels[100:200, 50:100] = 1, 2
    cv2.imwrite(str(tmp_path / "000006.png"), labels)
    people = np.zeros(SIZE[::-1], bool)
    people[100:200, 0:200] = True
    with_masks = replace(result, masks=tmp_path)
    values = score_clip(with_masks, facts, None, ReferenceMasks("masks", {6: people, 7: people})).values
    assert values[OBSERVED]["mask-IoU"] == 50


def test_masks_of_a_folder(result: ClipResult, facts: ClipFacts, tmp_path: Path) -> None:
    clip = replace(result.clip, frame_indices=2 * np.arange(12))
    cv2.imwrite(str(tmp_path / "000006.png"), np.full(SIZE[::-1], 255, np.uint8))
    reference = reference_masks(facts, tmp_path, clip)
    assert reference is not None
    assert list(reference.masks) == [3]
    assert reference.masks[3].all()
    cv2.imwrite(str(tmp_path / "000030.png"), np.zeros(SIZE[::-1], np.uint8))
    with pytest.raises(InputError, match=r"000030.png: the last frame of the clip is 23"):
        reference_masks(facts, tmp_path, clip)
    cv2.imwrite(str(tmp_path / "000030.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=r"000030.png: is 4x4, the clip is 640x480"):
        reference_masks(facts, tmp_path, clip)
    assert [frame_position(clip, frame) for frame in (0, 1, 22, 24)] == [0, 0, 11, None]


def test_masks_from_the_background(known_scene: KnownScene, facts: ClipFacts, tmp_path: Path) -> None:
    """A square moves over a gray wall: the median of the frames does not hold it."""
    images = [np.full((96, 128, 3), 128, np.uint8) for _ in range(12)]
    for t, image in enumerate(images):
        image[40:60, 10 * t : 10 * t + 10] = (20, 200, 20)
    path = tmp_path / "square.mp4"
    write_video(iter(images), path, known_scene.clip.times)
    clip = replace(known_scene.clip, path=path, size=(128, 96))
    for made, source in (
        (replace(facts, background="static"), "static background"),
        (replace(facts, chroma_key=(128, 128, 128)), "chroma key"),
    ):
        reference = reference_masks(made, None, clip)
        assert reference is not None
        assert reference.source == source
        for t, mask in reference.masks.items():
            true = np.zeros((96, 128), bool)
            true[40:60, 10 * t : 10 * t + 10] = True
            agreement = overlap({t: mask}, {t: true})
            assert agreement is not None
            assert agreement.iou > 75
    assert reference_masks(facts, None, clip) is None


BODY_25 = (5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)


def body_25(points: np.ndarray, confidence: float) -> dict[str, list[float]]:
    """A person of OpenPose from shoulders to ankles [12, 2]."""
    rows = np.zeros((25, 3))
    rows[list(BODY_25), :2], rows[list(BODY_25), 2] = points, confidence
    return {"pose_keypoints_2d": rows.ravel().tolist()}


def test_people_of_a_photo(result: ClipResult, facts: ClipFacts, tmp_path: Path) -> None:
    seen = result.observations
    limbs = seen.keypoints[0, :, 5:17, :2].astype(float)
    away = limbs[0] - [0, 5000]
    small = 0.3 * limbs[0]
    path = tmp_path / "a.vitpose.json"
    people = [body_25(limbs[1], 0.9), body_25(away, 0.9), body_25(small, 0.9), body_25(limbs[0], 0.4)]
    path.write_text(json.dumps({"people": people}))
    found, expected, joints = photo_joints(path, seen)
    assert (found, expected) == (1, 2)  # Of the others one is small, one not clear.
    assert len(joints) == 24
    assert {joint.track for joint in joints} == {1, None}
    values = score_clip(result, replace(facts, people=None), path, None).values[OBSERVED]
    exact = pytest.approx(0, abs=1e-3)
    assert values == {"people-found": 50, "other-tracks": 1, "keypoint-distance": exact, "keypoints-near": 50}
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": [1, 2]}]}))
    with pytest.raises(InputError, match=r"a.vitpose.json: is not a file of OpenPose"):
        photo_joints(path, seen)
