"""Ways to remark on arms, elbows and hands; slots as in `remark_phrases`."""

from __future__ import annotations

from collections.abc import Mapping

Said = Mapping[str, tuple[str, ...]]

_ARMS = {
    "arm_out_sideways": (
        "{part:arm} is out to the side; {part:arm} sticks out sideways; {part:arm} is stretched out sideways; "
        "{part:hand} is out to the side; {part:arm} goes out to the {side}; {part:arm} is flung out to the "
        "side; {part:arm} points to the side; {part:hand} is far out on the {side}; {part:arm} is spread; "
        "{part:arm} is extended to the {side}; {part:arm} is opened to the side; {part:arm} reaches sideways"
    ),
    "arm_forward": (
        "{part:arm} reaches forward; {part:arm} is stretched out in front; {part:arm} points forward; "
        "{part:hand} is far in front; {part:arm} is extended forward; {part:arm} is out in front; {who} reaches "
        "forward with the {side} hand; {part:arm} is held out to the front; {part:arm} swings forward; "
        "{part:hand} reaches ahead; {part:arm} is forward; {part:arm} comes forward; {part:hand} is held out "
        "ahead"
    ),
    "arm_backward": (
        "{part:arm} goes back; {part:arm} swings back; {part:arm} is stretched out behind; {part:arm} trails "
        "behind; {part:arm} is behind; {part:hand} is behind the back; {part:hand} is far back; {part:arm} is "
        "drawn back; {part:arm} is swung back; {part:hand} points backward; {part:arm} is back; {part:hand} is "
        "behind the body"
    ),
    "arm_across": (
        "{part:arm} crosses the body; {part:arm} is across the chest; {part:hand} is on the other side of the "
        "body; {part:forearm} is across the belly; {part:hand} has crossed over to the {other}; {part:arm} goes "
        "across; {part:hand} reaches across to the {other} side; {part:forearm} lies across the stomach; "
        "{part:forearm} is across the front of the body; {part:arm} is folded across the body"
    ),
    "hand_at_head": (
        "{part:hand} is at the head; {part:hand} is near the face; {part:hand} is by the ear; {part:hand} is up "
        "to the face; {part:hand} touches the head; {part:hand} is at the chin; {part:fist} is near the chin; "
        "{part:hand} is behind the head; {part:hand} covers the face; {part:hand} shades the eyes; {part:hand} "
        "is at the mouth; {part:hand} is beside the head; {part:hand} is on the head; {part:hand} is held in "
        "front of the face; {part:hand} is next to the cheek"
    ),
    "hand_at_chest": (
        "{part:hand} is at the chest; {part:hand} is on the chest; {part:hand} is in front of the chest; "
        "{part:hand} is close to the chest; {part:hand} rests on the chest; {part:fist} is in front of the "
        "breastbone; {part:hand} is near the heart; {part:forearm} is in front of the chest; {part:hand} is by "
        "the ribs"
    ),
    "hand_at_belly": (
        "{part:hand} is on the belly; {part:hand} is at the belly; {part:hand} is in front of the stomach; "
        "{part:hand} rests on the stomach; {part:hand} is held in front of the waist; {part:hand} is at the "
        "navel; {part:hand} is before the belly; {part:forearm} is in front of the tummy; {part:hand} is near "
        "the belt"
    ),
    "hand_on_hip": (
        "{part:hand} is on the hip; {part:hand} rests on the hip; {part:hand} is propped on the hip; "
        "{part:fist} is at the hip; {part:hand} is on the waist; {who} has the {side} hand on the hip; "
        "{part:hand} is at the side of the waist; {part:hand} is planted on the hip; {part:hand} is by the hip "
        "with the elbow out"
    ),
    "hand_at_knee": (
        "{part:hand} is on the knee; {part:hand} is near the knee; {part:hand} rests on the knee; {part:hand} "
        "holds the knee; {part:hand} is on the thigh; {part:hand} touches the knee; {part:forearm} rests on the "
        "thigh; {part:hand} is on the leg; {part:hand} is propped on the knee; {part:hand} is laid on the "
        "thigh; {part:elbow} rests on the thigh; {part:hand} is over the knee; {part:hand} is on the shin"
    ),
    "hand_at_other_elbow": (
        "{part:hand} is at the {other} elbow; {part:hand} holds the {other} arm; {part:hand} grips the other "
        "elbow; {part:hand} is on the {other} forearm; {part:hand} touches the other arm; {part:hand} is on the "
        "other elbow"
    ),
    "hand_at_own_shoulder": (
        "{part:hand} is at the {side} shoulder; {part:hand} is pulled up to its shoulder; {part:hand} touches "
        "the own shoulder; {part:fist} is next to the {side} shoulder; {part:hand} is close to the shoulder"
    ),
    "hand_at_other_shoulder": (
        "{part:hand} is on the {other} shoulder; {part:hand} reaches across to the {other} shoulder; "
        "{part:hand} touches the opposite shoulder; {part:hand} is on the other shoulder"
    ),
    "hand_low": (
        "{part:hand} is on the floor; {part:hand} is near the ground; {part:hand} touches the floor; "
        "{part:hand} is very low; {part:hand} reaches the ground; {part:hand} is planted on the ground; "
        "{part:hand} is close to the feet; {part:hand} supports the body; {part:hand} is propped on the floor; "
        "{part:hand} reaches down to the floor; {part:hand} is by the ankle; {part:hand} hangs near the foot; "
        "{part:arm} reaches for the ground"
    ),
    "hand_at_hip_height": (
        "{part:hand} is at hip height; {part:hand} is level with the hip; {part:hand} is at waist height; "
        "{part:hand} is by the hip; {part:hand} is next to the thigh; {part:hand} is at hip level; {part:hand} "
        "is at the side of the thigh; {part:hand} is at waist level; {part:hand} is held at the hip; "
        "{part:hand} is beside the hip"
    ),
    "hand_at_chest_height": (
        "{part:hand} is at chest height; {part:hand} is level with the chest; {part:hand} is at chest level; "
        "{part:hand} is raised to the chest; {part:hand} is held up at the height of the chest; {part:hand} is "
        "as high as the chest"
    ),
    "hand_at_shoulder_height": (
        "{part:hand} is at shoulder height; {part:hand} is level with the shoulder; {part:hand} is raised to "
        "the shoulder; {part:hand} is at shoulder level; {part:hand} is as high as the shoulders; {part:wrist} "
        "is level with the shoulders"
    ),
    "hand_at_head_height": (
        "{part:hand} is at head height; {part:hand} is level with the head; {part:hand} is at face height; "
        "{part:hand} is raised to the height of the head; {part:hand} is at eye level; {part:hand} is as high "
        "as the face"
    ),
    "elbow_out": (
        "{part:elbow} points out to the side; {part:elbow} sticks out; {part:elbow} is out to the side; "
        "{part:elbow} is flared; {part:elbow} is lifted sideways; {part:elbow} is away from the body; "
        "{part:elbow} is raised to the side; {part:upper arm} is out to the side; {part:elbow} points sideways; "
        "{part:elbow} is lifted out"
    ),
    "forearm_level": (
        "{part:forearm} is level; {part:forearm} is horizontal; {part:forearm} is parallel to the ground; "
        "{part:forearm} is held flat; {part:hand} is level with its elbow; {part:forearm} is out level"
    ),
    "forearm_up": (
        "{part:forearm} points up; {part:forearm} is vertical; {part:forearm} goes straight up; {part:hand} is "
        "up; {part:forearm} is raised upright; {part:hand} is straight above the elbow; {part:elbow} is bent "
        "with the hand up"
    ),
    "forearm_down": (
        "{part:forearm} hangs down; {part:forearm} points down; {part:hand} hangs below the elbow; {part:hand} "
        "dangles; {part:hand} points to the floor; {part:arm} hangs straight down; {part:forearm} is vertical, "
        "hand down"
    ),
    "forearm_forward": (
        "{part:forearm} points forward; {part:forearm} is forward; {part:forearm} goes to the front; "
        "{part:forearm} is held out in front; {part:forearm} reaches ahead; {part:hand} is in front of its "
        "elbow; {part:forearm} is level in front; {part:elbow} is bent with the hand in front; {part:forearm} "
        "sticks out to the front"
    ),
    "forearm_inward": (
        "{part:forearm} points inward; {part:forearm} is across the body; {part:hand} is in front of the "
        "middle; {part:forearm} is turned in; {part:forearm} goes across the belly; {part:forearm} lies across "
        "the chest; {part:hand} is drawn in front of the body; {part:forearm} is across the front; "
        "{part:forearm} is in front of the trunk"
    ),
}

OF_ARMS: Said = {kind: tuple(texts.split("; ")) for kind, texts in _ARMS.items()}
