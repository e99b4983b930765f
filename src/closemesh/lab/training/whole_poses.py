"""Whole poses by the names that people have for them, and what each name says of the limbs."""

from __future__ import annotations

from collections.abc import Iterator

from closemesh.lab.training.caption_labels import (
    BENT,
    LOOSE,
    SIDES,
    CompositeLabel,
    Named,
    apart,
    arms,
    both,
    both_noted,
    joints,
    noted,
    posture,
)
from closemesh.lab.training.sided_poses import arms_of, legs_of
from closemesh.text.statements import Placement


def whole_poses() -> Iterator[CompositeLabel]:
    """All of them, of person 0."""
    for groups, texts in (*_standing(), *_of_arms(), *_low()):
        yield CompositeLabel(groups, tuple(texts.split("; ")))
    for side, other in (SIDES, SIDES[::-1]):
        for groups, texts in (*legs_of(side, other), *arms_of(side, other)):
            sided = texts.replace("{side}", side).replace("{other}", other)
            yield CompositeLabel(groups, tuple(sided.split("; ")))


def _standing() -> Iterator[Named]:
    upright, tilted = posture("upright"), posture("upright", "leaning_forward")
    yield (
        (upright, *joints("knee", "straight")),
        (
            "{who} stands upright on straight legs; {who} is standing straight; {who} stands up straight; {who} "
            "stands tall; {who} stands upright with straight legs; {who} stands erect; {who} stands stiffly"
        ),
    )
    yield (
        (upright, *joints("knee", *LOOSE), *arms("down")),
        (
            "{who} stands with the arms at the sides; {who} stands at ease; {who} stands relaxed; a relaxed stance; a "
            "neutral stance; {who} just stands there; {who} stands still"
        ),
    )
    yield (
        (upright, *joints("knee", "straight"), apart("feet", "wide")),
        "{who} stands with the legs apart; {who} stands in a wide stance; {who} stands with spread legs",
    )
    yield (
        (upright, *joints("knee", *LOOSE), apart("feet", "close")),
        "{who} stands with the feet together; {who} stands to attention; {who} stands with the legs closed",
    )
    yield (
        (tilted, *joints("knee", *LOOSE)),
        "{who} stands; {who} is standing; a standing pose; {who} stands upright; {who} is on both feet; {who} is up",
    )
    yield (
        (
            posture("leaning_forward", "face_down"),
            *joints("knee", *LOOSE),
            *joints("hip", "slightly_bent", "bent", "sharply_bent"),
        ),
        (
            "{who} bends down from the hips with straight legs; {who} bows deeply; {who} bends over; {who} is bent "
            "over; {who} bows; {who} is bent double; {who} bends at the waist"
        ),
    )
    yield (
        (posture("leaning_forward", "face_down"), *both_noted("hand_at_knee")),
        "{who} leans on the knees with the hands; {who} is bent over with hands on knees",
    )


def _of_arms() -> Iterator[Named]:
    level = arms("shoulder_height")
    yield (
        (*level, *joints("elbow", *LOOSE), *both_noted("arm_out_sideways")),
        (
            "{who} makes a T with the arms; {both:arms} are spread like wings; a T-pose; {who} is in a T pose; "
            "{both:arms} are stretched out to the sides; {both:arms} are spread wide at shoulder height"
        ),
    )
    yield (
        (*level, *joints("elbow", *LOOSE), *both_noted("arm_forward")),
        (
            "{both:arms} are stretched straight ahead; {who} reaches out with both arms; arms out like a zombie; "
            "{both:arms} point forward at shoulder height"
        ),
    )
    yield (
        (*arms("overhead"), apart("hands", "wide")),
        "{both:arms} make a V above the head; {who} cheers with both arms up; {both:arms} are up in a V",
    )
    yield (
        (*arms("shoulder_height", "low"), *joints("elbow", *BENT), *both_noted("forearm_up")),
        (
            "{who} holds the hands up as if surrendering; {who} flexes the biceps; {both:arms} make a U; "
            "{both:elbows} are bent with the hands up"
        ),
    )
    guard = ("hand_at_chest_height", "hand_at_shoulder_height", "hand_at_head_height")
    yield (
        (
            *joints("elbow", *BENT),
            *both_noted(*guard),
            *both(lambda s: Placement(0, f"{s}_hand", "above", 0, f"{s}_elbow")),
        ),
        (
            "{who} has the guard up; a boxer's stance; {who} boxes; {who} is in a boxing stance; {both:fists} are up "
            "like a boxer's; {both:hands} are up in front as in a fight; a fighting stance; {both:hands} are raised "
            "in defence"
        ),
    )
    yield (
        (apart("hands", "close"), *both_noted("hand_at_chest", "hand_at_belly", "hand_at_chest_height")),
        (
            "{both:hands} are clasped in front; {both:hands} are together in front of the body; as if praying; {who} "
            "clasps the hands in front; {who} holds something small with both hands; {both:hands} meet in front"
        ),
    )
    held = ("hand_at_hip_height", "hand_at_chest_height", "hand_at_belly", "hand_at_chest")
    yield (
        (
            *joints("elbow", *BENT),
            *both_noted(*held),
            *both(lambda s: Placement(0, f"{s}_hand", "in_front_of", 0, f"{s}_hip")),
        ),
        (
            "{who} holds something in front of the body; {both:hands} are held in front as if carrying a box; "
            "{both:forearms} are held out in front; {both:elbows} are bent with the hands in front; {who} seems to "
            "hold something with both hands; both elbows bent, hands in front of the stomach"
        ),
    )


def _low() -> Iterator[Named]:
    upright, tilted = posture("upright"), posture("upright", "leaning_forward")
    ground = noted("near_the_ground")
    yield (
        (tilted, *joints("knee", "sharply_bent")),
        "{who} squats; {who} crouches low; {who} is in a deep crouch; {who} squats deeply; a deep squat",
    )
    yield (
        (tilted, *joints("knee", *BENT), *joints("hip", *BENT)),
        "{who} crouches; {who} is crouched; {who} is in a crouch; {who} is hunkered down; a crouching pose",
    )
    yield (
        (tilted, *joints("knee", "bent"), *joints("hip", *BENT)),
        (
            "{who} sits; {who} is seated; {who} half squats; {who} sits or crouches; {who} is sitting; {who} sits as "
            "on a chair; a seated pose; {who} sits on an invisible chair"
        ),
    )
    yield (
        (ground, posture("upright", "leaning_back", "leaning_forward"), *joints("hip", "bent", "sharply_bent")),
        "{who} sits on the floor; {who} is sitting on the ground; {who} sits low; {who} is down on the ground",
    )
    yield (
        (ground, *joints("knee", *LOOSE), *joints("hip", *BENT)),
        "{who} sits on the floor with the legs stretched out; {who} sits with outstretched legs",
    )
    yield (
        (ground, *joints("knee", *BENT), apart("knees", "wide"), *joints("hip", *BENT)),
        "{who} sits cross-legged; {who} sits on the floor with the knees spread",
    )
    yield (
        (posture("face_down"), *joints("knee", *BENT), *joints("hip", *BENT)),
        "{who} is on all fours; {who} is crouched over the ground; {who} crawls; {who} is on hands and knees",
    )
    yield (
        (posture("face_down"), *joints("hip", *LOOSE), *joints("knee", *LOOSE)),
        "{who} lies flat on the front; {who} lies face down stretched out; {who} is in a plank; a push-up pose",
    )
    yield (
        (posture("face_up"), *joints("hip", *LOOSE)),
        "{who} lies flat on the back; {who} is on the back; {who} is lying on the back",
    )
    yield (
        (posture("face_up"), *joints("hip", *BENT), *joints("knee", *BENT)),
        "{who} lies on the back with the legs drawn up; {who} is on the back, knees up",
    )
    yield (
        (posture("face_up", "face_down", "on_left_side", "on_right_side"),),
        "{who} lies; {who} is lying down; {who} lies on the ground; {who} is flat on the floor",
    )
    yield (
        (tilted, *joints("knee", *BENT), apart("feet", "wide")),
        (
            "{who} is in a horse stance; a wide squat; {who} squats with the legs wide; a straddled squat; "
            "{both:legs} are wide and bent; {who} is in a low wide stance; a sumo stance"
        ),
    )
    yield (
        (ground, *joints("knee", *BENT), *joints("hip", "sharply_bent")),
        (
            "{who} hugs the knees; {both:knees} are drawn up; {both:knees} are pulled up; {who} is curled up; "
            "{both:knees} are up; {who} is tucked into a ball; {both:knees} are at the chest"
        ),
    )
    yield (
        (*both_noted("kneels"), *joints("knee", "sharply_bent")),
        "{who} sits on the heels; {who} kneels down low; {who} sits back on the heels",
    )
    yield (
        (*both_noted("kneels"), *joints("hip", *LOOSE)),
        "{who} kneels upright; {who} stands on the knees; {who} is on both knees with the body upright",
    )
    yield (
        (ground, posture("leaning_back", "upright"), *both_noted("leg_forward")),
        "{who} sits with the legs in front; {who} sits back with the legs up; a V-sit",
    )
    yield (
        (upright, ground),
        "{who} is low; {who} has the hips close to the ground; {who} is right down low",
    )
