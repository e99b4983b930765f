"""Labels, composites, named poses.

What people say of several limbs at once; each holds where what it is made of holds.

All that can be said of one person or of two, in one list: statements, remarks and gists, and where each holds.

What whole poses are made of, in few words: each is something of which at least one must hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import chain

import torch
from torch import Tensor

from closemesh.lab.training.both_phrases import BOTH_NOTED, BOTH_PLACED
from closemesh.lab.training.pose_attributes import PoseAttribute, pose_attributes
from closemesh.text.captioner import candidates
from closemesh.text.statements import ArmHeight, DepthOrder, JointAngle, Placement, Posture, Spacing, Statement, Touch

SIDES = ("left", "right")
Part = Statement | PoseAttribute
AnyOf = tuple[Part, ...]


@dataclass(frozen=True)
class CompositeLabel:
    """Several things in one, of one person."""

    all_of: tuple[AnyOf, ...]
    """It holds where of each of these at least one holds."""
    texts: tuple[str, ...]
    """`{who}` is the person, `{both:hands}` his hands."""
    person: int = 0

    def of(self, person: int) -> CompositeLabel:
        """The same of somebody else."""
        all_of = tuple(tuple(of_person(part, person) for part in group) for group in self.all_of)
        return replace(self, all_of=all_of, person=person)


def of_person(part: Part, person: int) -> Part:
    """What is said of one person, of another one."""
    people = ("person",) if isinstance(part, PoseAttribute) else part.person_fields()
    return replace(part, **{name: person for name in people})


def both(make: Callable[[str], Part]) -> tuple[AnyOf, ...]:
    """The same of the left and of the right."""
    return tuple((make(side),) for side in SIDES)


def both_sides() -> Iterator[CompositeLabel]:
    """Both elbows, both arms, both hands."""
    yield from _both_joints()
    yield from _both_arms()
    yield from _both_placed()
    for kind, texts in BOTH_NOTED.items():
        yield CompositeLabel(both(lambda side, k=kind: PoseAttribute(0, k, side)), texts)


_BENDS = {
    "straight": ("straight", "stretched", "extended", "kept straight", "locked", "long and straight"),
    "slightly_bent": ("slightly bent", "a little bent", "softly bent", "nearly straight", "a bit bent", "soft"),
    "bent": ("bent", "flexed", "bent at right angles", "half bent", "bent to about ninety degrees"),
    "sharply_bent": ("sharply bent", "fully bent", "folded", "deeply bent", "tightly bent", "strongly bent"),
}
_LIMBS = {"elbow": ("elbows", "arms"), "knee": ("knees", "legs"), "hip": ("hips", "thighs at the hips")}


def _both_joints() -> Iterator[CompositeLabel]:
    for joint, nouns in _LIMBS.items():
        for bend, words in _BENDS.items():
            texts = [f"{{both:{noun}}} are {word}" for noun in nouns for word in words]
            yield CompositeLabel(both(lambda side, j=joint, b=bend: JointAngle(0, f"{side}_{j}", b)), tuple(texts))
        words = ("bent", "clearly bent", "flexed", "bent a lot")
        yield CompositeLabel(
            tuple(tuple(JointAngle(0, f"{side}_{joint}", b) for b in ("bent", "sharply_bent")) for side in SIDES),
            tuple(f"{{both:{noun}}} are {word}" for noun in nouns for word in words),
        )


def one_side() -> Iterator[CompositeLabel]:
    """What is said of one limb less exactly than the vocabulary says it."""
    for side in SIDES:
        for joint, nouns in (("elbow", ("elbow", "arm")), ("knee", ("knee", "leg"))):
            for bends, words in _ROUGHLY:
                group = tuple(JointAngle(0, f"{side}_{joint}", bend) for bend in bends)
                yield CompositeLabel(
                    (group,), tuple(f"{{part:{side} {noun}}} {word}" for noun in nouns for word in words)
                )
        for heights, words in _ROUGH_ARMS:
            yield CompositeLabel(
                (tuple(ArmHeight(0, side, h) for h in heights),), tuple(f"{{part:{side} arm}} {w}" for w in words)
            )


_ROUGHLY = (
    (("bent", "sharply_bent"), ("is bent", "is flexed", "bends", "is well bent", "is clearly bent", "is bent a lot")),
    (
        ("slightly_bent", "bent"),
        ("is bent", "is half bent", "is somewhat bent", "is loosely bent", "is relaxed and bent"),
    ),
    (("straight", "slightly_bent"), ("is straight", "is nearly straight", "is more or less straight", "is extended")),
)
_ROUGH_ARMS = (
    (("down", "low"), ("hangs", "hangs down", "is down", "is lowered", "hangs loosely", "is at the side", "dangles")),
    (("shoulder_height", "overhead"), ("is raised", "is lifted", "is up", "is held up", "is lifted high")),
)
_PLURAL = {"is": "are", "hangs": "hang", "dangles": "dangle"}
_ARMS = {
    "down": (
        *("hang down", "hang at the sides", "are down", "rest by the sides", "are lowered", "hang loosely", "are limp"),
        *("are at the sides", "are by the sides", "are kept close to the body", "dangle", "hang", "are relaxed"),
    ),
    "low": (
        *("are slightly raised", "are held a little away from the body", "are low", "are slightly out from the body"),
        *("are lifted a bit", "are a little out to the sides", "hang a bit away from the trunk"),
    ),
    "shoulder_height": (
        *("are raised to shoulder height", "are held out", "are level with the shoulders", "are horizontal"),
        *("are lifted to shoulder level", "are out", "are held up at shoulder height", "are stretched out level"),
    ),
    "overhead": (
        *(
            "are raised overhead",
            "are up in the air",
            "are thrown up",
            "reach for the sky",
            "are raised high",
            "are up",
        ),
        *("are stretched up", "are lifted above the head", "point at the ceiling", "are held high"),
    ),
}


def _both_arms() -> Iterator[CompositeLabel]:
    for height, words in _ARMS.items():
        texts = tuple(f"{{both:arms}} {word}" for word in words)
        yield CompositeLabel(both(lambda side, h=height: ArmHeight(0, side, h)), texts)
    for heights, words in _ROUGH_ARMS:
        groups = tuple(tuple(ArmHeight(0, side, height) for height in heights) for side in SIDES)
        plural = (re.sub(r"^(is|hangs|dangles)", lambda verb: _PLURAL[verb[0]], word) for word in words)
        yield CompositeLabel(groups, tuple(f"{{both:arms}} {word}" for word in plural))


def _both_placed() -> Iterator[CompositeLabel]:
    for (point, relation, of_point), texts in BOTH_PLACED.items():

        def placed(side: str, p: str = point, r: str = relation, o: str = of_point) -> Part:
            return Placement(0, p.format(side), r, 0, o.format(side))

        yield CompositeLabel(both(placed), texts)


Label = Statement | PoseAttribute | CompositeLabel
SURE = 0.75  # From this confidence on a thing is said.
_TOUCH_WEIGHT = 0.3  # Two in an embrace touch in twenty places; nobody tells them all.


def parts_of(people: int) -> list[Part]:
    """What poses are asked for; the camera is left out: who is nearer to it is no matter of poses."""
    statements = (statement for statement in candidates(people) if not isinstance(statement, DepthOrder))
    return [*statements, *pose_attributes(people)]


def labels_of(people: int) -> list[Label]:
    """The parts, then the gists of each person."""
    return [*parts_of(people), *(gist for person in range(people) for gist in _gists(person))]


def _gists(person: int) -> Iterator[CompositeLabel]:
    from closemesh.lab.training.whole_poses import whole_poses

    yield from (gist.of(person) for gist in chain(one_side(), both_sides(), whole_poses()))


@dataclass(frozen=True)
class LabelTable:
    """S sayings about one person or about two."""

    place: Tensor  # [S] of each in the list of those about two, which holds all
    members: Tensor  # [S, G, M] parts of which one in each group must hold; -1 fills up
    weight: Tensor  # [S] how often each is said

    def to(self, device: torch.device | str) -> LabelTable:
        return LabelTable(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def hold(self, confidences: Tensor) -> Tensor:
        """[B, S] of sayings from those of parts [B, C]."""
        known = torch.cat([confidences, confidences.new_zeros(len(confidences), 1)], dim=1)
        found = confidences.new_ones(len(confidences), len(self.members))
        for group in range(self.members.shape[1]):  # One after the other: all at once would be gigabytes.
            members = self.members[:, group]
            of_group = known[:, members].amax(-1)
            # A group without members asks for nothing.
            found = torch.where((members >= 0).any(-1), torch.minimum(found, of_group), found)
        return found


def label_table(people: int) -> LabelTable:
    """The table of all that can be said of so many people."""
    everything = {saying: number for number, saying in enumerate(labels_of(2))}
    said, column = labels_of(people), {part: number for number, part in enumerate(parts_of(people))}
    groups = [one.all_of if isinstance(one, CompositeLabel) else ((one,),) for one in said]
    members = torch.full((len(said), max(map(len, groups)), max(len(g) for one in groups for g in one)), -1)
    for row, one in enumerate(groups):
        for number, group in enumerate(one):
            members[row, number, : len(group)] = torch.tensor([column[part] for part in group])
    weight = torch.tensor([_TOUCH_WEIGHT if isinstance(one, Touch) else 1.0 for one in said])
    return LabelTable(torch.tensor([everything[one] for one in said]), members, weight)


LOOSE = ("straight", "slightly_bent")
BENT = ("bent", "sharply_bent")
Named = tuple[tuple[AnyOf, ...], str]
"""What must hold, and texts with `; ` between them."""


def posture(*postures: str) -> AnyOf:
    """The trunk is one of these ways."""
    return tuple(Posture(0, posture) for posture in postures)


def joint(name: str, *bends: str) -> AnyOf:
    """One joint is bent in one of these ways."""
    return tuple(JointAngle(0, name, bend) for bend in bends)


def joints(name: str, *bends: str) -> tuple[AnyOf, ...]:
    """The left and the right one are."""
    return tuple(joint(f"{side}_{name}", *bends) for side in SIDES)


def arm(side: str, *heights: str) -> AnyOf:
    """An arm is at one of these heights."""
    return tuple(ArmHeight(0, side, height) for height in heights)


def arms(*heights: str) -> tuple[AnyOf, ...]:
    """Both arms are."""
    return tuple(arm(side, *heights) for side in SIDES)


def apart(limbs: str, *apart: str) -> AnyOf:
    """Two limbs are so far apart."""
    return tuple(Spacing(0, limbs, one) for one in apart)


def noted(*kinds: str, side: str = "") -> AnyOf:
    """One of these is remarked."""
    return tuple(PoseAttribute(0, kind, side) for kind in kinds)


def both_noted(*kinds: str) -> tuple[AnyOf, ...]:
    """Of each side one of these is remarked."""
    return tuple(noted(*kinds, side=side) for side in SIDES)


def placed(point: str, relation: str, of_point: str) -> AnyOf:
    """A point is somewhere as seen from another one."""
    return (Placement(0, point, relation, 0, of_point),)
