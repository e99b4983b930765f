"""Labels of captions about one person or two: statements, pose attributes and composites, and the poses they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor

from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.lab.training.phrase_data import CompositeEntry, named_poses
from closemesh.lab.training.pose_attributes import PoseAttribute, pose_attributes
from closemesh.text.captioner import candidates
from closemesh.text.statements import (
    ALIGNED_KINDS,
    ArmHeight,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Touch,
)
from closemesh.text.vocabulary import (
    BENDING_JOINTS,
    LIMBS,
)

MIN_CONFIDENCE = 0.75  # A label is true of a pose from this confidence on.
_SIDES = ("left", "right")
_TOUCH_WEIGHT = 0.3  # Two people in an embrace touch in twenty places; captions mention few of them.

Part = Statement | PoseAttribute
AnyOf = tuple[Part, ...]


@dataclass(frozen=True)
class CompositeLabel:
    """Several statements and attributes of one person under one name."""

    all_of: tuple[AnyOf, ...]
    """The label holds where every group holds, a group where one of its parts does."""
    texts: tuple[str, ...]
    """Clauses; `{who}` is the person, `{both:hands}` both hands."""
    person: int = 0

    def of(self, person: int) -> CompositeLabel:
        """The same label of another person."""
        all_of = tuple(tuple(_of_person(part, person) for part in group) for group in self.all_of)
        return replace(self, all_of=all_of, person=person)


Label = Statement | PoseAttribute | CompositeLabel


def parts_of(people: int) -> list[Part]:
    """Statements and attributes of 1 or 2 people, in label order; kinds that are not aligned have no labels."""
    statements = (statement for statement in candidates(people) if isinstance(statement, ALIGNED_KINDS))
    return [*statements, *pose_attributes(people)]


def labels_of(people: int) -> list[Label]:
    """All labels of 1 or 2 people: the parts, then the composites of each person.

    The order for two people is the order of rows in the bundled weights.
    """
    composites = composite_labels()
    return [*parts_of(people), *(label.of(person) for person in range(people) for label in composites)]


def composite_labels() -> list[CompositeLabel]:
    """The composites of person 0, in the order of `named_poses.toml`. Raises ModelFileError when it is damaged."""
    poses = named_poses()
    return list(
        chain(
            _for_both_sides(poses.one_limb),
            map(_composite, poses.both_limbs),
            map(_composite, poses.pose),
            _for_both_sides(poses.sided_pose),
        )
    )


def _for_both_sides(entries: Sequence[CompositeEntry]) -> Iterator[CompositeLabel]:
    """All entries for the left side, then all for the right side."""
    for side, other in (_SIDES, _SIDES[::-1]):
        for entry in entries:
            yield _composite(entry, side, other)


def _composite(entry: CompositeEntry, side: str = "", other: str = "") -> CompositeLabel:
    all_of: list[AnyOf] = []
    for name, values in entry.all_of.items():
        subject, sides = _sided(name, side, other), (side,)
        if subject.startswith("each_"):
            sides = _SIDES
        for own in sides:
            named = subject.replace("each_", f"{own}_", 1)
            all_of.append(tuple(_part(named, _sided(value, own, other)) for value in values))
    return CompositeLabel(tuple(all_of), tuple(_sided(text, side, other) for text in entry.texts))


def _sided(text: str, side: str, other: str) -> str:
    return text.replace("{side}", side).replace("{other}", other)


def _part(subject: str, value: str) -> Part:
    """The statement or attribute of person 0 for one value of an entry. Raises ValueError for an unknown word."""
    if subject == "posture":
        return Posture(0, value)
    if subject in LIMBS:
        return Spacing(0, subject, value)
    if subject == "whole_body":
        return PoseAttribute(0, value)
    relation, _, of_point = value.partition(" ")
    if of_point:
        return Placement(0, subject, relation, 0, of_point)
    if subject in BENDING_JOINTS:
        return JointAngle(0, subject, value)
    side, _, limb = subject.partition("_")
    return ArmHeight(0, side, value) if limb == "arm" else PoseAttribute(0, value, side)


def _of_person(part: Part, person: int) -> Part:
    """The same statement or attribute of another person."""
    people = ("person",) if isinstance(part, PoseAttribute) else part.person_fields()
    return replace(part, **{name: person for name in people})


@dataclass(frozen=True)
class LabelTable(TensorDataclass):
    """Of which parts the L labels of one person or of two are made."""

    place: Tensor  # [L] row of each label among the labels of two people, which include all
    members: Tensor  # [L, G, M] columns of parts; one part of each group must hold; -1 fills up
    weight: Tensor  # [L] relative frequency of each label in captions

    def confidence(self, part_confidence: Tensor) -> Tensor:
        """Confidence 0..1 [B, L] of labels; part_confidence: [B, C], of parts."""
        padded = torch.cat([part_confidence, part_confidence.new_zeros(len(part_confidence), 1)], dim=1)
        found = part_confidence.new_ones(len(part_confidence), len(self.members))
        for group in range(self.members.shape[1]):  # One after the other: all at once takes gigabytes.
            members = self.members[:, group]
            of_group = padded[:, members].amax(-1)
            # A group without members requires nothing.
            found = torch.where((members >= 0).any(-1), torch.minimum(found, of_group), found)
        return found


def label_table(people: int) -> LabelTable:
    """The table of all labels of 1 or 2 people."""
    place = {label: number for number, label in enumerate(labels_of(2))}
    labels, column = labels_of(people), {part: number for number, part in enumerate(parts_of(people))}
    all_groups = [label.all_of if isinstance(label, CompositeLabel) else ((label,),) for label in labels]
    size = max(map(len, all_groups)), max(len(group) for groups in all_groups for group in groups)
    members = torch.full((len(labels), *size), -1)
    for row, groups in enumerate(all_groups):
        for number, group in enumerate(groups):
            members[row, number, : len(group)] = torch.tensor([column[part] for part in group])
    weight = torch.tensor([_TOUCH_WEIGHT if isinstance(label, Touch) else 1.0 for label in labels])
    return LabelTable(torch.tensor([place[label] for label in labels]), members, weight)
