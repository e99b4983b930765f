"""Other ways to say where hands, feet, knees and elbows are; `{part}` is who has the part and the part."""

from __future__ import annotations

from collections.abc import Mapping

Said = tuple[str, ...]

RELATIONS: Mapping[str, Said] = {
    "above": ("is higher up than", "is above the level of", "is raised above", "is up over", "is lifted above"),
    "in_front_of": ("is ahead of", "is forward of", "comes before", "is out in front of"),
    "left_of": ("is on the left side of", "is left from", "has crossed to the left of"),
}
INVERSE: Mapping[str, Said] = {
    "above": ("is down below", "is lower down than", "is beneath", "is underneath"),
    "in_front_of": ("is at the back of", "is further behind than", "stays behind", "is back from"),
    "left_of": ("is on the right side of", "is right from", "has crossed to the right of"),
}
POINTS: Mapping[str, Said] = {
    "hand": ("{side} hand", "{side} palm", "{side} wrist", "{side} fist"),
    "foot": ("{side} foot", "{side} heel", "{side} ankle"),
    "knee": ("{side} knee",),
    "elbow": ("{side} elbow",),
    "shoulder": ("{side} shoulder",),
    "hip": ("{side} hip", "{side} side of the pelvis"),
    "head": ("head", "face"),
}
PLACEMENTS: Mapping[tuple[str, str, str], Said] = {
    ("hand", "above", "head"): (
        *("{part:hand} is over the head", "{part:hand} is up above the head", "{part:hand} is higher than the head"),
        *("{part:hand} is raised above the head", "{part:hand} is in the air", "{part:arm} is raised over the head"),
    ),
    ("hand", "above", "shoulder"): (
        *("{part:hand} is raised above shoulder level", "{part:hand} is up high", "{part:hand} is above the shoulder"),
        *("{part:hand} is up", "{part:hand} is raised", "{part:hand} is higher than the shoulder"),
    ),
    ("hand", "above", "elbow"): (
        *("{part:forearm} points up", "{part:hand} is raised higher than its elbow", "{part:forearm} is lifted"),
        *("{part:hand} is held up", "{part:hand} is up", "{part:hand} is raised", "{part:hand} is above the elbow"),
        *("{part:forearm} is raised", "{part:forearm} slants up", "{part:forearm} is up"),
    ),
    ("hand", "above", "hand"): (
        *("{part:hand} is higher than the other hand", "{part:hand} is the upper one", "{part:hand} is higher"),
        *("{part:hand} is above the other", "{part:hand:other} is lower", "{part:hand} is higher than the {other} one"),
        *("{part:fist} is higher", "{part:hand:other} is below the {side} one"),
    ),
    ("hand", "in_front_of", "hip"): (
        *("{part:hand} is in front of the body", "{part:hand} is held forward", "{part:hand} reaches forward"),
        *(
            "{part:hand} is before the belly",
            "{part:hand} is in front",
            "{part:arm} is in front",
            "{part:hand} is forward",
        ),
        *("{part:hand} is in front of the hips", "{part:forearm} is in front", "{part:arm} is in front of the body"),
    ),
    ("hip", "in_front_of", "hand"): (
        *("{part:hand} is behind the back", "{part:hand} is behind the body", "{part:hand} is held back"),
        *("{part:arm} goes backwards", "{part:hand} is behind", "{part:arm} is behind the body", "{part:arm} is back"),
        *("{part:hand} is behind the hip", "{part:arm} swings back", "{part:hand} is a little behind the body"),
    ),
    ("elbow", "in_front_of", "shoulder"): (
        *("{part:elbow} points forward", "{part:elbow} is in front of the chest", "{part:elbow} is in front"),
        *("{part:elbow} is forward", "{part:upper arm} is forward", "{part:elbow} is ahead of the shoulder"),
    ),
    ("shoulder", "in_front_of", "elbow"): (
        *("{part:elbow} is drawn back", "{part:elbow} points backward", "{part:arm} is pulled back"),
        *("{part:elbow} is behind the back", "{part:elbow} is back", "{part:elbow} is pulled back"),
        *("{part:elbow} is behind the body", "{part:elbow} sticks out behind", "{part:upper arm} is drawn back"),
    ),
    ("knee", "above", "hip"): (
        *("{part:knee} is pulled up high", "{part:knee} is lifted above the waist", "{part:knee} is above the hip"),
        *("{part:knee} is higher than the hip", "{part:knee} is drawn up high", "{part:knee} is up"),
    ),
    ("knee", "above", "knee"): (
        *("{part:knee} is lifted", "{part:knee} is raised higher than the other one", "{part:knee} is raised"),
        *("{part:knee} is higher than the other knee", "{part:knee} is higher", "{part:knee} is up"),
        *(
            "{part:knee:other} is lower",
            "{part:knee} is pulled up",
            "{part:knee} is lifted higher than the {other} one",
        ),
    ),
    ("foot", "above", "foot"): (
        *("{part:foot} is off the ground", "{part:foot} is lifted", "{part:leg} is in the air"),
        *("{who} stands on the {other} foot", "{part:foot} is higher than the other foot", "{part:leg} is raised"),
        *(
            "{part:leg} is lifted",
            "{part:foot} is in the air",
            "{part:foot} is up",
            "{part:foot} is raised",
            "{part:leg} is up",
        ),
        *(
            "{part:foot} is off the floor",
            "{part:foot:other} carries the weight",
            "{who} has one foot up, the {side} one",
        ),
        *("{part:weight} is on the {other} leg", "{who} stands on the {other} leg", "{part:foot} hovers"),
    ),
    ("foot", "in_front_of", "foot"): (
        *("{part:foot} is forward", "{who} steps forward with the {side} foot", "{part:foot} leads"),
        *("{part:leg} is in front", "{part:foot:other} is behind", "{part:leg:other} is back"),
        *(
            "{part:foot} is in front",
            "{part:foot} is ahead",
            "{part:leg} is forward",
            "{part:leg} leads",
            "{part:leg} is ahead",
        ),
        *(
            "{part:foot:other} is back",
            "{part:leg:other} is behind",
            "{part:foot} is put forward",
            "{part:foot} is further forward",
        ),
    ),
}
CROSSED: Mapping[str, Said] = {
    "hand": (
        "{both:arms} are crossed",
        "{both:hands} are crossed",
        "{both:wrists} cross",
        "{both:forearms} cross",
        "crossed arms",
    ),
    "foot": (
        *(
            "{both:feet} are crossed",
            "{both:legs} are crossed",
            "{both:ankles} cross",
            "crossed legs",
            "{both:legs} cross",
        ),
        *("one foot is put across the other", "the legs cross each other"),
    ),
    "knee": ("{both:knees} are crossed", "{both:legs} are crossed"),
}
SPACINGS: Mapping[tuple[str, str], Said] = {
    ("hands", "close"): (
        *("{both:hands} almost meet", "{both:hands} are together", "{both:hands} are held next to each other"),
        *("{both:palms} are close to one another", "{both:hands} are close to each other", "{both:hands} meet"),
        *("{both:hands} nearly touch", "{both:hands} are clasped", "{both:hands} are near one another"),
    ),
    ("hands", "shoulder_width"): ("{both:hands} are a shoulder width from each other", "{both:hands} are apart"),
    ("hands", "wide"): (
        *("{both:hands} are far from each other", "{both:arms} are spread", "{both:arms} are spread out wide"),
        *("{both:hands} are a long way apart", "{both:hands} are wide apart", "{both:arms} are wide open"),
        *("{both:arms} are outspread", "{both:hands} are far out", "{both:arms} are flung wide"),
    ),
    ("elbows", "close"): ("{both:elbows} are tucked in", "{both:elbows} almost touch", "{both:elbows} are together"),
    ("elbows", "shoulder_width"): ("{both:elbows} are a shoulder width apart", "{both:elbows} are near the ribs"),
    ("elbows", "wide"): (
        *(
            "{both:elbows} stick out",
            "{both:elbows} are flared out",
            "{both:elbows} are spread",
            "{both:elbows} are out",
        ),
        *("{both:elbows} are wide", "{both:elbows} are away from the body", "{both:elbows} are far apart"),
    ),
    ("knees", "close"): (
        *("{both:knees} are together", "{both:knees} nearly touch", "{both:knees} are side by side"),
        *(
            "{both:knees} are close",
            "{both:legs} are together",
            "{both:thighs} are together",
            "{both:knees} are closed",
        ),
    ),
    ("knees", "shoulder_width"): ("{both:knees} are apart", "{both:knees} are a shoulder width from each other"),
    ("knees", "wide"): (
        *("{both:knees} are spread", "{both:legs} are spread wide", "{both:knees} point far outwards"),
        *("{both:knees} are wide", "{both:knees} are apart", "{both:knees} point outwards", "{both:legs} are open"),
        *("{both:thighs} are spread", "{both:knees} are opened wide"),
    ),
    ("feet", "close"): (
        *("{both:feet} are together", "{both:feet} are side by side", "the stance is narrow", "the feet nearly touch"),
        *("{both:legs} are together", "{both:feet} are close", "{both:heels} are together", "{both:legs} are closed"),
        *("the stance is close", "{both:feet} are next to each other"),
    ),
    ("feet", "shoulder_width"): (
        *("{both:feet} are apart", "{both:feet} are hip width apart", "the stance is normal", "the feet are apart"),
        "{both:feet} are a shoulder width from each other",
    ),
    ("feet", "wide"): (
        *("the stance is wide", "{both:legs} are apart", "{both:feet} are planted wide", "{both:legs} are spread"),
        *("{who} straddles", "{who} takes a big step", "{both:feet} are far from each other"),
        *(
            "{both:feet} are wide apart",
            "{both:legs} are wide",
            "{both:legs} are far apart",
            "the legs are spread wide",
        ),
        *(
            "a wide stance",
            "{both:feet} are spread",
            "{who} is in a wide stance",
            "{both:legs} are spread apart",
            "a big step",
        ),
    ),
}
