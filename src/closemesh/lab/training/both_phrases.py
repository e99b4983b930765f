"""What is said of both arms, hands or legs at once; `{both:hands}` are the hands of the person."""

from __future__ import annotations

from collections.abc import Mapping

Said = tuple[str, ...]

BOTH_PLACED: Mapping[tuple[str, str, str], Said] = {
    ("{}_hand", "above", "head"): (
        *("{both:hands} are above the head", "{both:hands} are over the head", "{both:hands} are higher than the head"),
        "{both:hands} are held above the head",
    ),
    ("{}_hand", "above", "{}_shoulder"): (
        *("{both:hands} are above the shoulders", "{both:hands} are raised higher than the shoulders"),
        *("{both:hands} are up", "{both:hands} are above shoulder level", "{both:hands} are raised", "hands up"),
    ),
    ("{}_hand", "above", "{}_elbow"): (
        *("both forearms point up", "{both:hands} are higher than the elbows", "{both:hands} are held up"),
        *("{both:forearms} are lifted", "{both:forearms} are raised"),
    ),
    ("{}_hand", "in_front_of", "{}_hip"): (
        *("{both:hands} are in front of the body", "{both:hands} are before the body", "{both:hands} are in front"),
        *("{both:hands} are held in front", "{both:arms} are in front of the body"),
    ),
    ("{}_hip", "in_front_of", "{}_hand"): (
        *(
            "{both:hands} are behind the back",
            "{both:arms} go back behind the body",
            "{both:hands} are behind the hips",
        ),
        *("{both:arms} are behind the back", "{both:hands} are behind the body", "{both:arms} trail behind"),
    ),
    ("{}_elbow", "in_front_of", "{}_shoulder"): (
        *("both elbows point forward", "{both:elbows} are in front", "{both:elbows} are ahead of the shoulders"),
    ),
    ("{}_shoulder", "in_front_of", "{}_elbow"): (
        *("both elbows are drawn back", "{both:elbows} are behind the back", "both arms are pulled back"),
        *("{both:elbows} are pulled back", "{both:elbows} point backward", "{both:elbows} are behind the body"),
    ),
}
BOTH_NOTED: Mapping[str, Said] = {
    "arm_out_sideways": (
        *(
            "{both:arms} are out to the sides",
            "{both:arms} stick out sideways",
            "{both:arms} are held out to the sides",
        ),
        *("{both:arms} are spread", "{both:arms} are open to the sides", "{both:arms} are stretched sideways"),
    ),
    "arm_forward": (
        *("{both:arms} reach forward", "{both:arms} are stretched forward", "{both:arms} are out in front"),
        *("{both:arms} are extended to the front", "{both:hands} reach ahead", "{both:arms} are held out in front"),
    ),
    "arm_backward": (
        *("{both:arms} are stretched backward", "{both:arms} swing back", "{both:arms} are held back"),
        "{both:arms} are drawn back behind the body",
    ),
    "hand_at_head": (
        *("{both:hands} are at the head", "{both:hands} are by the face", "{who} holds the head with both hands"),
        *("{both:hands} are at the ears", "{who} covers the face with both hands", "{both:hands} are near the face"),
    ),
    "hand_at_chest": (
        *("{both:hands} are at the chest", "{both:hands} are in front of the chest", "{both:hands} are near the chest"),
        *("{both:hands} are held close to the chest", "{both:hands} are up against the chest"),
    ),
    "hand_at_belly": (
        *("{both:hands} are on the belly", "{both:hands} are in front of the stomach", "{both:hands} are at the belly"),
        *("{both:hands} are at the waist in front", "{both:hands} are in front of the belly"),
    ),
    "hand_on_hip": (
        *("{both:hands} are on the hips", "{who} has the hands on the hips", "arms akimbo", "hands on hips"),
        *("{both:hands} rest on the hips", "{both:hands} are on the waist"),
    ),
    "hand_at_knee": (
        *("{both:hands} are on the knees", "{both:hands} rest on the knees", "hands on knees"),
        *(
            "{who} props the hands on the knees",
            "{both:hands} touch the knees",
            "{both:hands} are near the knees",
            "{both:elbows} rest on the thighs",
        ),
    ),
    "hand_at_other_elbow": (
        *("{both:arms} are folded", "{who} has the arms folded", "{both:arms} are crossed over the chest"),
        *("{who} crosses the arms", "folded arms", "{both:arms} are crossed in front of the chest"),
    ),
    "hand_at_own_shoulder": ("{both:hands} are at the shoulders", "{both:hands} are pulled up to the shoulders"),
    "hand_at_other_shoulder": ("{who} hugs himself", "{who} has each hand on the opposite shoulder"),
    "hand_low": (
        *("{both:hands} are near the floor", "{both:hands} reach the ground", "{both:hands} are close to the floor"),
        *("{both:hands} are on the floor", "{both:hands} are on the ground", "{who} touches the floor with both hands"),
    ),
    "hand_at_hip_height": (
        *("{both:hands} are at hip height", "{both:hands} are level with the hips", "{both:hands} are at waist height"),
        *("{both:hands} are at waist level", "{both:hands} are held at hip level"),
    ),
    "hand_at_chest_height": (
        *(
            "{both:hands} are at chest height",
            "{both:hands} are level with the chest",
            "{both:hands} are at chest level",
        ),
        "{both:hands} are held up at the height of the chest",
    ),
    "hand_at_shoulder_height": (
        *("{both:hands} are at shoulder height", "{both:hands} are level with the shoulders"),
        "{both:hands} are held at shoulder level",
    ),
    "hand_at_head_height": (
        *("{both:hands} are at head height", "{both:hands} are level with the face", "{both:hands} are at face height"),
        "{both:hands} are beside the head",
    ),
    "elbow_out": (
        *("{both:elbows} point out to the sides", "{both:elbows} stick out", "{both:elbows} are out wide"),
        *("{both:elbows} are flared", "{both:elbows} are lifted to the sides"),
    ),
    "forearm_level": (
        *("{both:forearms} are level", "{both:forearms} are horizontal", "{both:forearms} are parallel to the floor"),
    ),
    "forearm_up": (
        *("{both:forearms} are vertical", "{both:forearms} point straight up", "{both:forearms} go up"),
        "{both:hands} are straight above the elbows",
    ),
    "forearm_down": ("{both:forearms} hang down", "{both:forearms} point down", "{both:hands} point at the floor"),
    "heel_up": (
        *("{who} is on tiptoe", "{both:heels} are off the ground", "{who} stands on the toes", "{both:heels} are up"),
        "{who} is on the balls of the feet",
    ),
    "forearm_forward": (
        *("{both:forearms} point forward", "{both:forearms} are forward", "{both:forearms} are held out in front"),
        *("{both:forearms} reach to the front", "{both:forearms} are out in front"),
    ),
    "forearm_inward": (
        *("{both:forearms} are across the body", "{both:forearms} point inward", "{both:forearms} cross the belly"),
        "{both:forearms} lie across the front",
    ),
    "thigh_level": ("{both:thighs} are level", "{both:thighs} are horizontal", "{both:knees} are at hip height"),
    "shin_back": (
        *("{both:shins} point back", "{both:feet} are behind the knees", "{both:lower legs} are folded back"),
        *("{who} sits on the heels", "{both:lower legs} are under the body"),
    ),
    "foot_turned_out": ("{both:feet} are turned out", "{both:toes} point outward", "{both:feet} point apart"),
    "kneels": (
        *("{who} kneels", "{who} is on the knees", "{who} is kneeling", "{both:knees} are on the ground"),
        *("{both:knees} are on the floor", "{who} kneels on both knees", "{who} is down on both knees"),
    ),
    "leg_out_sideways": (
        *("{both:legs} go out to the sides", "{both:legs} are straddled", "{both:legs} are spread to the sides"),
        "{who} stands astride",
    ),
    "leg_forward": (
        *("{both:legs} are out in front", "{both:legs} are stretched to the front", "{both:feet} are in front"),
        "{both:legs} point forward",
    ),
    "leg_backward": (
        *("{both:legs} go back", "{both:legs} are stretched out behind", "{both:feet} are behind the hips"),
    ),
}
