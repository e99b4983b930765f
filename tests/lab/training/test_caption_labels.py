"""Labels, their order, and when composites hold."""

from __future__ import annotations

import pytest
import torch

from closemesh.lab.training.caption_labels import (
    CompositeLabel,
    composite_labels,
    label_table,
    labels_of,
    parts_of,
)
from closemesh.lab.training.phrase_data import attribute_phrases, statement_phrases
from closemesh.lab.training.pose_attributes import PoseAttribute, pose_attributes
from closemesh.text.alignment import load_alignment
from closemesh.text.statements import (
    JointAngle,
    Placement,
    Posture,
)
from closemesh.text.vocabulary import (
    ARM_HEIGHTS,
    BENDS,
    FACINGS,
    POSTURES,
)


def test_a_composite_holds_where_one_part_of_each_group_does():
    table, parts, labels = label_table(1), parts_of(1), labels_of(1)
    knees = [number for number, part in enumerate(parts) if isinstance(part, JointAngle) and "knee" in part.joint]
    part_confidence = torch.zeros(1, len(parts))
    bent = {JointAngle(0, "left_knee", "bent"): 0.9, JointAngle(0, "right_knee", "sharply_bent"): 0.8}
    for number in knees:
        part_confidence[0, number] = bent.get(parts[number], 0.0)  # type: ignore[arg-type]
    found = {label: float(value) for label, value in zip(labels, table.confidence(part_confidence)[0], strict=True)}
    both = [one for one in labels if isinstance(one, CompositeLabel) and "{both:knees} are clearly bent" in one.texts]
    exact = [one for one in labels if isinstance(one, CompositeLabel) and "{both:knees} are half bent" in one.texts]
    assert found[both[0]] == pytest.approx(0.8) and found[exact[0]] == 0


def test_labels_of_one_person_are_labels_of_two():
    labels = labels_of(2)
    assert len(set(labels)) == len(labels)
    place = label_table(1).place
    assert [labels[k] for k in place] == labels_of(1)


def test_the_bundled_weights_have_a_row_for_each_label():
    assert len(load_alignment("cpu").text_encoder.labels.vectors) == len(labels_of(2))


def test_sides_of_named_poses_are_filled_in():
    by_text = {text: label for label in composite_labels() for text in label.texts}
    lunge = by_text["{who} lunges with the left leg in front"]
    assert lunge.all_of[0] == (JointAngle(0, "left_knee", "bent"), JointAngle(0, "left_knee", "sharply_bent"))
    assert lunge.all_of[2] == (Placement(0, "left_foot", "in_front_of", 0, "right_foot"),)
    erect = by_text["{who} stands erect"]
    assert erect.all_of == (
        (Posture(0, "upright"),),
        (JointAngle(0, "left_knee", "straight"),),
        (JointAngle(0, "right_knee", "straight"),),
    )
    assert by_text["{who} draws a bow with the left hand"].all_of[2] == (JointAngle(0, "left_elbow", "sharply_bent"),)
    raised = by_text["{both:hands} are up"].all_of
    assert raised == tuple((Placement(0, f"{s}_hand", "above", 0, f"{s}_shoulder"),) for s in ("left", "right"))
    assert by_text["{who} is on tiptoe"].of(1).all_of[0] == (PoseAttribute(1, "heel_up", "left"),)


def test_every_word_has_phrases():
    attributes, statements = attribute_phrases(), statement_phrases()
    kinds = list(pose_attributes(1))
    assert set(attributes.whole_body) == {one.kind for one in kinds if not one.side}
    assert set(attributes.one_side) == {one.kind for one in kinds if one.side}
    assert set(statements.bends) == set(BENDS) and set(statements.arm_heights) == set(ARM_HEIGHTS)
    assert all(set(statements.joint_angles[joint]) == set(BENDS) for joint in ("elbow", "knee", "hip"))
    assert set(statements.postures) == set(POSTURES) and set(statements.facings) == set(FACINGS)
