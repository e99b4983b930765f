from closemesh.contact.body_parts import PART_INDEX, PART_NAMES
from closemesh.contact.measure import ContactConfig, PartContact, contact_intervals

HAND, HEAD, CHEST = (PART_INDEX[name] for name in ("left_hand", "head", "chest"))
CONFIG = ContactConfig(bridge_frames=3, shortest_frames=3)


def touches(frames, part_a=HAND, part_b=CHEST, distance=0.01, depth=0.0):
    return [PartContact(frame, part_a, part_b, distance, depth) for frame in frames]


def intervals(*groups):
    touches = sorted((touch for group in groups for touch in group), key=lambda touch: touch.frame)
    return contact_intervals(0, 1, touches, CONFIG)


def test_one_run_is_one_interval_with_inclusive_end():
    (contact,) = intervals(touches(range(5, 12)))
    assert (contact.start, contact.end) == (5, 11)
    assert (contact.part_a, contact.part_b) == ("left_hand", "chest")
    assert (contact.person_a, contact.person_b) == (0, 1)


def test_three_missing_frames_are_bridged_and_four_are_not():
    assert len(intervals(touches([*range(0, 5), *range(8, 12)]))) == 1
    assert [(c.start, c.end) for c in intervals(touches([*range(0, 5), *range(9, 12)]))] == [(0, 4), (9, 11)]


def test_blips_are_dropped():
    assert intervals(touches([4, 5])) == ()
    assert len(intervals(touches([4, 5, 6]))) == 1


def test_parts_stay_separate_and_are_sorted_by_start():
    found = intervals(touches(range(10, 20)), touches(range(2, 8), HEAD, HEAD), touches(range(5, 15), CHEST, HAND))
    assert [(c.part_a, c.part_b, c.start) for c in found] == [
        ("head", "head", 2),
        ("chest", "left_hand", 5),
        ("left_hand", "chest", 10),
    ]


def test_nearest_and_deepest_of_the_run_are_reported():
    (contact,) = intervals(
        touches([0, 1], distance=0.008), touches([2], distance=0.0, depth=0.02), touches([3], depth=0.0)
    )
    assert contact.min_distance == 0 and contact.max_depth == 0.02


def test_no_touch_no_contact():
    assert intervals() == ()
    assert len(set(PART_NAMES)) == len(PART_NAMES)
