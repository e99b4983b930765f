"""What people say of whole poses: both arms, both legs, a squat. Each holds where the statements it is made of hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

from closemesh.language.statements import ArmHeight, JointAngle, Placement, Posture, Spacing, Statement

_SIDES = ("left", "right")
AnyOf = tuple[Statement, ...]


@dataclass(frozen=True)
class Gist:
    """Several statements in one, of person 0."""

    all_of: tuple[AnyOf, ...]
    """It holds where of each of these at least one holds."""
    texts: tuple[str, ...]
    """`{who}` is the person, `{both:hands}` his hands."""


def gists() -> Iterator[Gist]:
    """All of them."""
    yield from _both_joints()
    yield from _both_arms()
    yield from _contrasts()
    yield from _both_placed()
    yield from _whole()


def _both(make) -> tuple[AnyOf, ...]:
    return tuple((make(side),) for side in _SIDES)


_BENDS = {
    "straight": ("straight", "stretched", "extended", "kept straight"),
    "slightly_bent": ("slightly bent", "a little bent", "softly bent", "nearly straight"),
    "bent": ("bent", "flexed", "bent at right angles"),
    "sharply_bent": ("sharply bent", "fully bent", "folded", "deeply bent"),
}
_LIMBS = {"elbow": ("elbows", "arms"), "knee": ("knees", "legs"), "hip": ("hips", "thighs at the hips")}


def _both_joints() -> Iterator[Gist]:
    for joint, nouns in _LIMBS.items():
        for bend, words in _BENDS.items():
            texts = [
                text
                for noun in nouns
                for word in words
                for text in (f"both {noun} are {word}", f"{{both:{noun}}} are {word}")
            ]
            yield Gist(_both(lambda side, j=joint, b=bend: JointAngle(0, f"{side}_{j}", b)), tuple(texts))
        yield Gist(
            tuple(tuple(JointAngle(0, f"{side}_{joint}", b) for b in ("bent", "sharply_bent")) for side in _SIDES),
            tuple(f"both {noun} are {word}" for noun in nouns for word in ("bent", "clearly bent", "flexed")),
        )


_ARMS = {
    "down": ("hang down", "hang at the sides", "are down", "rest by the sides", "are lowered"),
    "low": ("are slightly raised", "are held a little away from the body", "are low"),
    "shoulder_height": (
        "are raised to shoulder height",
        "are held out",
        "are level with the shoulders",
        "are horizontal",
    ),
    "overhead": ("are raised overhead", "are up in the air", "are thrown up", "reach for the sky", "are raised high"),
}


_ONE_ARM = {
    "down": ("hangs down", "is down", "rests by the side"),
    "low": ("is slightly raised", "is a little away from the body"),
    "shoulder_height": ("is raised to shoulder height", "is held out", "is horizontal"),
    "overhead": ("is raised overhead", "goes up", "is up in the air"),
}


def _both_arms() -> Iterator[Gist]:
    for height, words in _ARMS.items():
        texts = [text for word in words for text in (f"both arms {word}", f"{{both:arms}} {word}")]
        yield Gist(_both(lambda side, h=height: ArmHeight(0, side, h)), tuple(texts))


def _contrasts() -> Iterator[Gist]:
    """One limb so and the other one so."""
    for joint, nouns in (("elbow", ("elbow", "arm")), ("knee", ("knee", "leg"))):
        for left, right in permutations(_BENDS, 2):
            held = (JointAngle(0, f"left_{joint}", left),), (JointAngle(0, f"right_{joint}", right),)
            yield Gist(
                held, tuple(_contrast(nouns, ("is " + w for w in _BENDS[left]), ("is " + w for w in _BENDS[right])))
            )
    for left, right in permutations(_ARMS, 2):
        held = (ArmHeight(0, "left", left),), (ArmHeight(0, "right", right),)
        yield Gist(held, tuple(_contrast(("arm",), _ONE_ARM[left], _ONE_ARM[right])))


def _contrast(nouns: Iterable[str], of_left: Iterable[str], of_right: Iterable[str]) -> Iterator[str]:
    for noun, left, right in product(nouns, of_left, of_right):
        yield f"the left {noun} {left}, the right one {right}"
        yield f"{{part:right {noun}}} {right} while the left {left}"
        yield f"the left {noun} {left} but the other {right}"
        yield f"the right {noun} {right}, the other {noun} {left}"


def _both_placed() -> Iterator[Gist]:
    def placed(point: str, relation: str, of_point: str) -> tuple[AnyOf, ...]:
        return _both(lambda side: Placement(0, point.format(side), relation, 0, of_point.format(side)))

    yield Gist(placed("{}_hand", "above", "head"), ("both hands are above the head", "{both:hands} are over the head"))
    yield Gist(
        placed("{}_hand", "above", "{}_shoulder"),
        (
            "both hands are above the shoulders",
            "{both:hands} are raised higher than the shoulders",
            "{both:hands} are up",
        ),
    )
    yield Gist(
        placed("{}_hand", "above", "{}_elbow"),
        ("both forearms point up", "both hands are higher than the elbows", "{both:hands} are held up"),
    )
    yield Gist(
        placed("{}_hand", "in_front_of", "{}_hip"),
        ("both hands are in front of the body", "{both:arms} reach forward", "{both:hands} are before the body"),
    )
    yield Gist(
        placed("{}_hip", "in_front_of", "{}_hand"),
        ("both hands are behind the back", "{both:arms} go back behind the body", "{both:hands} are behind the hips"),
    )
    yield Gist(
        placed("{}_elbow", "in_front_of", "{}_shoulder"), ("both elbows point forward", "{both:elbows} are in front")
    )
    yield Gist(
        placed("{}_shoulder", "in_front_of", "{}_elbow"),
        ("both elbows are drawn back", "{both:elbows} are behind the back", "both arms are pulled back"),
    )


def _whole() -> Iterator[Gist]:
    def joints(joint: str, *bends: str) -> tuple[AnyOf, ...]:
        return tuple(tuple(JointAngle(0, f"{side}_{joint}", b) for b in bends) for side in _SIDES)

    upright = ((Posture(0, "upright"),),)
    tilted = ((Posture(0, "upright"), Posture(0, "leaning_forward")),)
    bent, deep, loose = ("bent", "sharply_bent"), ("sharply_bent",), ("straight", "slightly_bent")
    low_arms = _both(lambda side: ArmHeight(0, side, "down"))
    out = _both(lambda side: ArmHeight(0, side, "shoulder_height"))
    yield Gist(
        (*upright, *joints("knee", "straight")),
        ("{who} stands upright on straight legs", "{who} is standing straight", "{who} stands"),
    )
    yield Gist(
        (*upright, *joints("knee", *loose), *low_arms),
        ("{who} stands with the arms at the sides", "{who} stands at ease", "{who} stands relaxed"),
    )
    yield Gist(
        (*out, *joints("elbow", "straight"), (Spacing(0, "hands", "wide"),)),
        (
            "{who} makes a T with the arms",
            "{both:arms} are spread like wings",
            "{both:arms} are stretched out to the sides",
        ),
    )
    yield Gist((*tilted, *joints("knee", *deep)), ("{who} squats", "{who} crouches low", "{who} is in a deep crouch"))
    yield Gist(
        (*tilted, *joints("knee", "bent"), *joints("hip", *bent)),
        ("{who} sits", "{who} is seated", "{who} half squats", "{who} sits or crouches"),
    )
    yield Gist(
        ((Posture(0, "leaning_forward"), Posture(0, "face_down")), *joints("knee", *loose), *joints("hip", *bent)),
        ("{who} bends down from the hips with straight legs", "{who} bows deeply", "{who} bends over"),
    )
    yield Gist(
        ((Posture(0, "face_down"),), *joints("knee", *bent), *joints("hip", *bent)),
        ("{who} is on all fours", "{who} is crouched over the ground", "{who} crawls"),
    )
    yield Gist(
        ((Posture(0, "face_down"),), *joints("hip", *loose), *joints("knee", *loose)),
        ("{who} lies flat on the front", "{who} lies face down stretched out"),
    )
    yield Gist(
        ((Posture(0, "face_up"),), *joints("hip", *loose)), ("{who} lies flat on the back", "{who} is on the back")
    )
    yield Gist(
        ((Posture(0, "face_up"),), *joints("hip", *bent), *joints("knee", *bent)),
        ("{who} lies on the back with the legs drawn up", "{who} is on the back, knees up"),
    )
    for side, other in (_SIDES, _SIDES[::-1]):
        yield Gist(
            (
                (JointAngle(0, f"{side}_knee", "bent"), JointAngle(0, f"{side}_knee", "sharply_bent")),
                (JointAngle(0, f"{other}_knee", "straight"), JointAngle(0, f"{other}_knee", "slightly_bent")),
                (Placement(0, f"{side}_foot", "in_front_of", 0, f"{other}_foot"),),
                (Spacing(0, "feet", "wide"),),
            ),
            (f"{{who}} lunges with the {side} leg in front", f"{{who}} is in a lunge on the {side} leg"),
        )
        yield Gist(
            (
                (JointAngle(0, f"{side}_knee", "bent"), JointAngle(0, f"{side}_knee", "sharply_bent")),
                (Placement(0, f"{side}_foot", "above", 0, f"{other}_foot"),),
                (JointAngle(0, f"{other}_knee", "straight"), JointAngle(0, f"{other}_knee", "slightly_bent")),
            ),
            (
                f"{{who}} balances on the {other} leg with the {side} knee bent",
                f"{{who}} lifts the bent {side} leg",
                f"{{who}} stands on one leg, the {other} one",
            ),
        )
        yield Gist(
            (
                (JointAngle(0, f"{side}_hip", "bent"), JointAngle(0, f"{side}_hip", "sharply_bent")),
                (JointAngle(0, f"{side}_knee", "straight"),),
                (Placement(0, f"{side}_foot", "above", 0, f"{other}_foot"),),
            ),
            (f"{{who}} kicks with the {side} leg", f"{{who}} holds the straight {side} leg up"),
        )
