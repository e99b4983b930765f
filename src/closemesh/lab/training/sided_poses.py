"""Poses that have one name for the left and one for the right: `{side}` is the side, `{other}` the other one."""

from __future__ import annotations

from collections.abc import Iterator

from closemesh.lab.training.caption_labels import BENT, LOOSE, Named, apart, arm, joint, joints, noted, placed, posture


def legs_of(side: str, other: str) -> Iterator[Named]:
    """Poses by the name of what one leg does."""
    ahead = placed(f"{side}_foot", "in_front_of", f"{other}_foot")
    yield (
        (joint(f"{side}_knee", *BENT), joint(f"{other}_knee", *LOOSE), ahead, apart("feet", "wide")),
        (
            "{who} lunges with the {side} leg in front; {who} is in a lunge on the {side} leg; {who} lunges forward "
            "on the {side} leg; {who} lunges, {side} leg first; a lunge; {who} lunges; {who} is in a lunge; a lunge "
            "with the {side} leg forward"
        ),
    )
    lifted = placed(f"{side}_foot", "above", f"{other}_foot")
    lifted_other = placed(f"{other}_foot", "above", f"{side}_foot")
    yield (
        (joint(f"{side}_knee", *BENT), lifted, joint(f"{other}_knee", *LOOSE)),
        (
            "{who} balances on the {other} leg with the {side} knee bent; {who} lifts the bent {side} leg; {who} "
            "stands on one leg, the {other} one; {who} stands on the {other} leg; {who} balances on the {other} foot; "
            "{who} has picked up the {side} foot; {who} marches with the {side} knee up; {who} is standing on the "
            "{other} leg; {who} stands only on the {other} leg; {who} is on the {other} leg; {who} balances on the "
            "{other} leg; the weight is on the {other} leg; all the weight is on the {other} foot; {who} stands on the "
            "{other} leg alone; the {other} leg carries the body; {who} stands on the {other} foot"
        ),
    )
    yield (
        (joint(f"{side}_hip", *BENT), joint(f"{side}_knee", "straight"), lifted),
        "{who} kicks with the {side} leg; {who} holds the straight {side} leg up; {who} kicks the {side} leg out",
    )
    yield (
        (noted("kneels", side=side), placed(f"{other}_knee", "above", f"{side}_knee")),
        (
            "{who} kneels on the {side} knee; {who} is down on one knee, the {side} one; {who} kneels on one knee; "
            "{who} rests on the {side} knee with the {other} foot planted; {who} is on the {side} knee"
        ),
    )
    yield (
        (joint(f"{side}_knee", *BENT), noted("leg_out_sideways", side=other), apart("feet", "wide")),
        (
            "{who} lunges to the {side}; a side lunge onto the {side} leg; a side lunge to the {side}; {who} shifts "
            "onto the bent {side} leg with the {other} leg out; a deep side lunge on the {side} leg"
        ),
    )
    yield (
        (joint(f"{side}_knee", *LOOSE), noted("leg_backward", side=other), lifted_other),
        (
            "{who} stands on the {side} leg with the {other} leg behind; {who} balances on the {side} leg, {other} "
            "leg back; {who} balances on the {side} leg; {who} stands on the {side} leg"
        ),
    )
    yield (
        (noted("leg_forward", side=side), lifted),
        ("the {side} leg is lifted in front; {who} raises the {side} leg in front; {who} lifts the {side} leg forward"),
    )
    striding = posture("upright", "leaning_forward"), noted("step_ahead", "far_ahead", side=side)
    yield (
        (*striding, joint(f"{side}_knee", *LOOSE)),
        (
            "{who} walks, {side} foot ahead; {who} takes a step with the {side} foot; {who} is mid-step; a big step "
            "forward with the {side} leg; {who} steps forward on the {side} leg; walking; {who} is walking with the "
            "{side} leg leading; {who} steps with the {side} foot; {who} strides"
        ),
    )
    yield (
        (*striding, *joints("elbow", *BENT), joint(f"{other}_knee", *BENT)),
        (
            "{who} runs; {who} is running, {side} leg in front; a running pose; {who} is mid-run; a sprinter; {who} "
            "sprints"
        ),
    )


def arms_of(side: str, other: str) -> Iterator[Named]:
    """Poses by the name of what one arm does."""
    down = arm(other, "down", "low")
    yield (
        (arm(side, "shoulder_height"), noted("arm_forward", side=side), joint(f"{side}_elbow", *LOOSE)),
        (
            "{who} points ahead with the {side} hand; {who} punches with the {side} fist; {who} reaches out with the "
            "{side} hand; the {side} arm is stretched straight ahead; {who} reaches forward with the {side} arm"
        ),
    )
    yield (
        (arm(side, "shoulder_height"), noted("arm_out_sideways", side=side), joint(f"{side}_elbow", *LOOSE)),
        "{who} points to the side with the {side} arm; the {side} arm is stretched straight out to the side",
    )
    yield (
        (placed(f"{side}_hand", "above", f"{side}_shoulder"), joint(f"{side}_elbow", *BENT), down),
        "{who} waves with the {side} hand; {who} greets with the {side} hand up; {who} holds up the {side} hand",
    )
    yield (
        (arm(side, "overhead"), down),
        "{who} raises the {side} arm; only the {side} arm is up; {who} reaches up with the {side} hand",
    )
    yield (
        (arm(side, "shoulder_height"), joint(f"{side}_elbow", *LOOSE), joint(f"{other}_elbow", "sharply_bent")),
        "{who} draws a bow with the {other} hand; {who} aims with the {side} arm, {other} elbow folded",
    )
    yield (
        (noted("hand_low", side=side), posture("leaning_forward", "face_down")),
        "{who} reaches for the floor with the {side} hand; {who} picks something up with the {side} hand",
    )
