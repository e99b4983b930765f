"""Other ways to say what the vocabulary says of limbs: only for learning to read, so that free wordings are understood.

`say` writes none of these and `read` takes none. `{part}` is who has the part and the part, `{who}` a person.
"""

from __future__ import annotations

from collections.abc import Mapping

Said = tuple[str, ...]

BENDS: Mapping[str, Mapping[str, Said]] = {
    "elbow": {
        "straight": (
            *(
                "is kept straight",
                "is extended",
                "is locked",
                "does not bend",
                "is unbent",
                "stays long",
                "is straight",
            ),
            *("is stretched", "is fully straightened", "is straightened out", "is completely straight", "is stiff"),
        ),
        "slightly_bent": (
            *("is softly bent", "is gently flexed", "bends a bit", "is slightly flexed", "is loosely bent"),
            *("is almost straight", "is not quite straight", "has a slight bend", "is relaxed"),
            *("is bent a little", "is just off straight", "is soft", "is barely bent", "is slightly crooked"),
        ),
        "bent": (
            *("is flexed", "is crooked", "is bent to ninety degrees", "is half bent", "makes a right angle"),
            *("is bent at 90 degrees", "forms an L", "is folded halfway", "bends"),
            *("is bent", "is bent square", "is squared", "is at a right angle", "is moderately bent", "is angled"),
        ),
        "sharply_bent": (
            *("is folded tightly", "is fully flexed", "is doubled up", "is strongly bent", "is bent hard"),
            *("is bent all the way", "is closed", "is deeply bent", "folds up"),
            *("is tightly bent", "is bent", "is very bent", "is sharply folded", "is bent double", "is cocked tightly"),
        ),
    },
}
BENDS = {**BENDS, "knee": BENDS["elbow"], "hip": BENDS["elbow"]}

LIMB_OF = {
    "elbow": ("{side} elbow", "elbow of the {side} arm", "{side} arm at the elbow"),
    "knee": ("{side} knee", "knee of the {side} leg", "{side} leg at the knee"),
    "hip": ("{side} hip", "{side} hip joint", "{side} thigh against the trunk"),
}
LIMB_WORDS: Mapping[str, Mapping[str, Said]] = {
    "elbow": {
        "straight": (
            *("{part:arm} is straight", "{part:arm} is stretched out", "{part:arm} is fully extended"),
            *("{part:arm} is outstretched", "{part:arm} is locked straight", "{who} keeps the {side} arm straight"),
        ),
        "slightly_bent": ("{part:arm} is slightly bent", "{part:arm} is nearly straight", "{part:arm} is a bit bent"),
        "bent": (
            *("{part:arm} is bent", "{part:forearm} is at a right angle to the upper arm", "{part:arm} is crooked"),
            *(
                "{part:arm} is half bent",
                "{part:arm} is bent at the elbow",
                "{who} bends the {side} arm",
                "a bent {side} arm",
            ),
        ),
        "sharply_bent": (
            "{part:forearm} is folded against the upper arm",
            "{part:hand} is drawn up to the {side} shoulder",
            *("{part:arm} is folded up", "{part:arm} is bent tightly", "{part:arm} is folded"),
            *("{part:hand} is drawn in to the body", "{part:arm} is sharply bent at the elbow"),
        ),
    },
    "knee": {
        "straight": (
            *("{part:leg} is straight", "{part:leg} is stretched", "{part:leg} is extended", "a straight {side} leg"),
            *("{part:leg} is fully extended", "{part:leg} is stretched out", "{who} keeps the {side} leg straight"),
        ),
        "slightly_bent": ("{part:leg} is slightly bent", "{part:knee} gives a little", "{part:leg} is nearly straight"),
        "bent": (
            *("{part:leg} is bent", "{part:lower leg} is at a right angle to the thigh", "{part:leg} is flexed"),
            *("{part:leg} is bent at the knee", "{who} bends the {side} knee", "{part:knee} is at ninety degrees"),
        ),
        "sharply_bent": (
            "{part:lower leg} is folded under the thigh",
            "{part:heel} is close to the buttocks",
            *(
                "{part:leg} is folded up",
                "{part:leg} is tucked under",
                "{part:leg} is folded",
                "{part:leg} is tucked up",
            ),
            *("{part:knee} is bent all the way", "{part:leg} is bent tightly", "{part:foot} is pulled up to the seat"),
        ),
    },
    "hip": {
        "straight": ("{part:thigh} is in line with the torso", "{who} is straight at the {side} hip"),
        "slightly_bent": ("{part:thigh} is slightly forward", "{who} is a little bent at the {side} hip"),
        "bent": (
            "{part:thigh} is raised to the front",
            *(
                "{part:leg} is lifted in front",
                "{part:thigh} is horizontal",
                "{part:knee} is up",
                "{part:knee} is raised",
            ),
            *("{part:knee} is lifted to the front", "{who} raises the {side} knee", "{part:knee} is at hip height"),
            "{part:thigh} is at a right angle to the torso",
        ),
        "sharply_bent": (
            "{part:thigh} is close to the chest",
            *("{part:knee} is drawn up to the chest", "{part:knee} is pulled up", "{part:knee} is near the chest"),
            *("{part:knee} is drawn up", "{part:knee} is up high", "{part:knee} is hugged to the body"),
            "{part:thigh} is folded against the belly",
        ),
    },
}
ARM_HEIGHTS: Mapping[str, Said] = {
    "down": (
        *("hangs at the side", "hangs loosely", "is lowered", "rests by the side", "stays down", "dangles"),
        *("is held close to the body", "is by the hip", "points to the ground"),
        *("hangs", "hangs straight down", "is relaxed", "hangs beside the body", "is down by the side", "is limp"),
        *("is at the side", "hangs along the body", "is alongside the body", "is loose"),
    ),
    "low": (
        *("is held a little away from the body", "is lifted slightly", "is a bit out from the side", "is low"),
        *("moves slightly away from the trunk", "is not far from the body", "points diagonally down"),
        *("is a little raised", "is slightly away from the body", "slants down", "angles down", "is half lowered"),
        *("is slightly out", "hangs a little off the body", "is lifted a bit", "is held low"),
    ),
    "shoulder_height": (
        *("is lifted level with the shoulder", "is horizontal", "is at shoulder level", "is held out", "sticks out"),
        *("reaches out", "is extended outward", "is parallel to the floor", "is lifted up to shoulder level"),
        *("is raised", "is lifted", "is out at shoulder height", "is up at shoulder level", "is held out level"),
        *("is stretched out at shoulder height", "is outstretched", "is raised level"),
    ),
    "overhead": (
        *("goes up", "is up in the air", "reaches up", "points to the sky", "is thrown up", "is lifted high"),
        *("is above the head", "stretches upward", "is held up high"),
        *("is up", "is raised", "is raised high", "is stretched up", "points up", "is raised above the head"),
        *("is lifted overhead", "is straight up", "is in the air", "points at the ceiling"),
    ),
}
