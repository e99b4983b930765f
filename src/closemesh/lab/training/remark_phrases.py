"""Ways to say each remark. `{part:hand}` is the hand of that side, `{who}` the person, `{other}` the other side."""

from __future__ import annotations

from collections.abc import Mapping

from closemesh.lab.training.arm_remark_phrases import OF_ARMS

Said = Mapping[str, tuple[str, ...]]

_ALL = {
    "leans_forward_a_little": (
        "{who} leans forward a little; {who} is tilted slightly forward; {part:torso} leans a bit forward; "
        "{who} leans slightly forward; {part:back} is a little bent; {who} stoops a little; {who} is hunched; "
        "{who} hunches; {part:upper body} is inclined slightly forward; {who} bends forward slightly; "
        "{part:trunk} tips forward; {who} leans in; {part:back} is rounded; {part:shoulders} are hunched"
    ),
    "leans_back_a_little": (
        "{who} leans back a little; {part:torso} is tilted slightly back; {who} leans slightly backward; "
        "{part:upper body} is tipped back a bit; {who} arches the back; {part:chest} is pushed out; {who} sits "
        "back; {who} bends slightly backwards; {part:back} is arched"
    ),
    "looks_down": (
        "{who} looks down; {part:head} is bowed; {who} looks at the floor; {part:gaze} is lowered; {part:head} "
        "is lowered; {part:head} hangs; {part:chin} is tucked; {who} stares at the ground; {part:head} is bent "
        "down; {part:face} is turned down; {who} is looking down; {part:eyes} are down; {part:chin} is near the "
        "chest; {who} watches the feet; {part:head} droops; {part:head} is tipped forward"
    ),
    "looks_up": (
        "{who} looks up; {part:head} is tilted back; {part:face} is turned up; {part:chin} is raised; {who} "
        "looks at the ceiling; {part:gaze} goes up; {part:head} is raised; {part:head} is up; {part:chin} is "
        "lifted; {who} stares at the sky; {part:head} is thrown back"
    ),
    "near_the_ground": (
        "{who} is close to the ground; {part:hips} are low; {part:pelvis} is near the floor; {who} is down low; "
        "{part:bottom} is near the floor; {who} is on the floor; {who} is on the ground; {who} has dropped low; "
        "{part:buttocks} are on the floor; {part:seat} is on the ground; {part:hips} are close to the floor; "
        "{who} is sitting on the floor; {who} sits on the ground; {who} sits on the heels"
    ),
}
_LEGS_AND_TRUNK = {
    "shoulder_lower": (
        "{part:shoulder} is lower; {part:shoulder} is dropped; {part:shoulder} is lower than the other; "
        "{part:shoulder} hangs; {part:shoulder:other} is higher; {part:shoulder:other} is raised; "
        "{part:shoulder:other} is hitched up; {part:shoulder} is down; {part:shoulder} dips"
    ),
    "thigh_level": (
        "{part:thigh} is level; {part:thigh} is horizontal; {part:thigh} is parallel to the ground; {part:knee} "
        "is at hip height; {part:knee} is as high as the hip; {part:knee} is lifted to hip height; {part:knee} "
        "is raised to the waist; {part:knee} is level with the hip; {part:knee} is up at hip level; "
        "{part:thigh} is lifted to horizontal"
    ),
    "shin_back": (
        "{part:shin} points back; {part:lower leg} is lifted back; {part:shin} goes backward; {part:foot} is "
        "kicked up behind; {part:heel} is lifted behind; {part:lower leg} is folded back; {part:foot} is behind "
        "the knee; {part:shin} is horizontal behind; {part:heel} comes up behind; {part:foot} is raised behind"
    ),
    "foot_turned_out": (
        "{part:foot} is turned out; {part:toes} point outward; {part:foot} points to the {side}; {part:foot} "
        "points outwards; {part:toes} are turned out; {part:leg} is turned out; {part:foot} is rotated outward; "
        "{part:foot} points to the side"
    ),
    "foot_at_other_leg": (
        "{part:foot} is at the other knee; {part:foot} rests against the {other} leg; {part:foot} is drawn up "
        "to the other knee; {part:ankle} is on the {other} knee; {part:foot} is next to the {other} knee; "
        "{part:leg} is crossed over the {other} thigh; {part:foot} is beside the {other} knee"
    ),
    "foot_high": (
        "{part:foot} is high off the ground; {part:foot} is high up; {part:leg} is high in the air; {part:leg} "
        "is kicked up; {part:foot} is lifted high; {part:foot} is at knee height; {part:leg} is swung up high; "
        "{part:heel} is kicked up; {part:leg} is kicked high; {part:foot} is way up; {part:foot} is far above "
        "the ground"
    ),
    "heel_up": (
        "{part:heel} is off the ground; {part:heel} is lifted; {part:foot} is on its toes; {who} is on the toes "
        "of the {side} foot; {part:heel} is up; {part:foot} is on tiptoe; {part:heel} is raised; {part:toes} "
        "push off the ground; only the toes of the {side} foot touch the ground"
    ),
    "kneels": (
        "{part:knee} is on the ground; {who} kneels on the {side} knee; {part:knee} is on the floor; "
        "{part:knee} touches the ground; {part:knee} is down; {who} is down on the {side} knee; {who} rests on "
        "the {side} knee; {part:knee} is close to the ground; {part:shin} lies on the floor; {part:lower leg} "
        "is on the ground"
    ),
    "leg_out_sideways": (
        "{part:leg} goes out to the side; {part:leg} is stretched out to the side; {part:foot} is far out to "
        "the {side}; {part:leg} is out sideways; {part:leg} is spread to the {side}; {part:foot} is out to the "
        "side; {part:leg} is to the side; {who} steps out to the {side}; {part:leg} is extended to the side; "
        "{part:leg} sticks out sideways; {who} lunges to the side; {part:leg} is lifted to the side"
    ),
    "leg_forward": (
        "{part:leg} is out in front; {part:leg} is stretched forward; {part:leg} is lifted forward; {part:leg} "
        "is raised in front; {part:leg} points forward; {part:foot} is far in front; {part:leg} swings forward; "
        "{part:leg} is extended to the front; {part:leg} is forward; {part:leg} is kicked forward; {part:foot} "
        "reaches forward; {part:leg} comes forward"
    ),
    "leg_backward": (
        "{part:leg} is stretched back; {part:leg} is behind; {part:leg} goes back; {part:leg} is out behind; "
        "{part:leg} trails; {part:foot} is far behind; {part:leg} trails behind; {part:leg} swings back; "
        "{part:leg} is extended backward; {part:leg} is kicked back; {part:foot} is behind the body; {part:leg} "
        "is pushed back; {part:shin} is lifted back; {part:heel} is kicked up behind; {part:leg} is bent up "
        "behind; {part:leg} is back"
    ),
    "step_ahead": (
        "{part:foot} is a step ahead; {part:foot} is slightly in front; {part:foot} is a little ahead; "
        "{part:leg} is in front; {part:foot} is half a step forward; {part:foot} is in front; {part:leg} is a "
        "bit further forward; {part:foot} is forward; {part:foot} leads; {part:leg} is ahead; {part:foot:other} "
        "is a step back; {part:foot:other} is slightly behind; {part:leg:other} is a little behind; "
        "{part:leg:other} is set back"
    ),
    "far_ahead": (
        "{part:foot} is far ahead; {part:foot} is a long step ahead; {who} strides with the {side} leg; "
        "{part:leg} is well in front; {who} takes a long stride, {side} leg first; {part:foot} is far in front "
        "of the other one; {part:leg:other} is far behind; {who} makes a big step forward with the {side} leg; "
        "{part:foot:other} is way behind; {part:leg:other} trails"
    ),
    "head_turned": (
        "{who} looks to the {side}; {part:head} is turned to the {side}; {who} is looking {side}; {part:face} "
        "is turned {side}; {who} looks over the {side} shoulder; {part:gaze} goes to the {side}; {who} looks "
        "{side}; {part:head} faces the {side}; {part:head} is rotated to the {side}; {part:head} turns {side}"
    ),
    "head_tilted": (
        "{part:head} is tilted to the {side}; {part:head} leans to the {side}; {part:head} is cocked to the "
        "{side}; {part:ear} is near the {side} shoulder; {part:head} is inclined {side}"
    ),
    "twisted": (
        "{part:torso} is twisted to the {side}; {part:shoulders} are turned to the {side}; {who} twists to the "
        "{side}; {part:upper body} is rotated {side}; {part:trunk} turns to the {side}; {part:chest} is turned "
        "{side}; {who} is twisted; {who} turns {side} at the waist; {part:shoulders} are rotated {side} against "
        "the hips"
    ),
    "leans_sideways": (
        "{who} leans to the {side}; {part:torso} is tilted to the {side}; {who} leans {side}; {who} is bent to "
        "the {side}; {part:upper body} is tipped to the {side}; {part:body} is tilted {side}; {part:trunk} "
        "leans over to the {side}; {who} bends sideways to the {side}; {who} tilts to the {side}; {part:body} "
        "leans {side}"
    ),
}

OF_ALL: Said = {kind: tuple(texts.split("; ")) for kind, texts in _ALL.items()}
OF_SIDE: Said = {**OF_ARMS, **{kind: tuple(texts.split("; ")) for kind, texts in _LEGS_AND_TRUNK.items()}}
