"""Identity over time: association, joining of pieces, undoing of swaps, choice."""

from __future__ import annotations

import numpy as np
import pytest
from figures import draw_torsos, stick_figure

from closemesh.core.errors import InputError
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks
from closemesh.perception.tracking.similarity import clothing_colors, keypoint_nms, oks, torso_histogram
from closemesh.perception.tracking.tracker import Track, Tracker, assemble_track
from closemesh.perception.tracking.tracklets import choose_tracks, link_tracklets
from closemesh.perception.types import Detection

Colour = tuple[int, int, int]
RED, BLUE, GREEN = (220, 30, 30), (30, 30, 220), (20, 160, 40)
Places = dict[int, Detection]


def track(number: int, places: Places, colour: Colour) -> Track:
    made = Track(number)
    for frame, person in places.items():
        image = draw_torsos([(person, colour)])
        made.add(frame, person, torso_histogram(image, person), clothing_colors(image, person), 1.0)
    return made


def walk(start: float, speed: float, frames: range, **figure_options: float) -> Places:
    return {frame: stick_figure(start + speed * frame, **figure_options) for frame in frames}


def test_similarity_is_one_for_the_same_and_falls_with_distance() -> None:
    person = stick_figure(300)
    values = [oks(person, stick_figure(300 + shift)) for shift in (0, 5, 20, 80)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1
    assert oks(person, stick_figure(300, confidence=0.05)) == 0


def test_two_looks_at_one_person_become_one_better_one() -> None:
    left, right, other = stick_figure(298, score=0.6), stick_figure(302, score=0.5), stick_figure(450)
    merged = keypoint_nms([left, right, other])
    assert len(merged) == 2
    one = next(person for person in merged if person.box[0] < 350)
    np.testing.assert_allclose(one.keypoints[:, :2], stick_figure(300).keypoints[:, :2], atol=1e-9)


def test_a_keypoint_on_which_two_looks_differ_is_the_surer_ones() -> None:
    """The mean of two different elbows would be no elbow at all."""
    first, second = stick_figure(300, score=0.6), stick_figure(300, score=0.5)
    second.keypoints[7, :2] += (60, 0)
    second.keypoints[7, 2] = 0.95
    (merged,) = keypoint_nms([first, second])
    np.testing.assert_allclose(merged.keypoints[7, :2], second.keypoints[7, :2])


@pytest.mark.parametrize("lost", [range(0), range(18, 23)], ids=["always seen", "hidden while crossing"])
def test_people_who_cross_keep_their_numbers(lost: range) -> None:
    """Red walks to the right in front of blue, who walks to the left; detections come in changing order."""
    tracker = Tracker()
    for frame in range(40):
        red, blue = stick_figure(120 + 10 * frame), stick_figure(520 - 10 * frame, y=206)
        seen = [red] if frame in lost else [red, blue]
        tracker.step(frame, draw_torsos([(blue, BLUE), (red, RED)]), seen[:: 1 if frame % 2 else -1])
    assert len(tracker.tracks) == 2
    by_start = sorted(tracker.tracks, key=lambda t: t.detections[0].box[0])
    ends = [t.detections[-1].box[0] for t in by_start]
    assert ends[0] > 400 and ends[1] < 200
    assert [len(t.frames) for t in by_start] == [40, 40 - len(lost)]


def test_who_comes_back_is_joined_by_the_clothes() -> None:
    one = track(0, walk(100, 0, range(0, 60)), GREEN)
    before = track(1, walk(300, 2, range(0, 20)), RED)
    after = track(2, walk(500, -2, range(40, 60)), RED)
    stranger = track(3, walk(500, -2, range(25, 35)), BLUE)
    joined = link_tracklets([one, before, after, stranger])
    assert [t.track_id for t in joined] == [0, 1, 3]
    assert joined[1].frames == [*range(0, 20), *range(40, 60)]


def test_people_seen_together_are_never_joined() -> None:
    twins = [track(0, walk(100, 0, range(20)), RED), track(1, walk(400, 0, range(20)), RED)]
    assert len(link_tracklets(twins)) == 2


def test_pieces_that_meet_for_a_frame_are_one_person() -> None:
    pieces = [track(0, walk(100, 3, range(0, 11)), RED), track(1, walk(100, 3, range(10, 40)), RED)]
    (whole,) = link_tracklets(pieces)
    assert whole.frames == list(range(40))


def test_a_glimpse_counts_only_where_the_clip_is_no_longer() -> None:
    glimpse = [track(0, walk(100, 0, range(1)), RED)]
    assert link_tracklets(glimpse) == []
    assert len(link_tracklets(glimpse, min_length=1)) == 1


def test_a_swap_at_contact_is_undone() -> None:
    """Both walk towards each other, meet in frames 18 to 22, and leave with the other's number."""
    red, blue = walk(120, 10, range(40)), walk(520, -10, range(40))
    tracks = [_patched(0, red, blue, RED, BLUE, 20), _patched(1, blue, red, BLUE, RED, 20)]
    (first, second), count = fix_identity_switches(tracks)
    assert count == 1
    for found, true in ((first, red), (second, blue)):
        apart = [f for f in range(40) if abs(true[f].box[0] - found.detections[f].box[0]) > 1]
        assert set(apart) <= set(range(17, 24)), "only frames in which they overlap may stay exchanged"


def test_no_swap_is_seen_where_there_is_none_or_clothes_are_alike() -> None:
    red, blue = walk(120, 10, range(40)), walk(520, -10, range(40))
    assert fix_identity_switches([track(0, red, RED), track(1, blue, BLUE)])[1] == 0
    assert fix_identity_switches([_patched(0, red, blue, RED, RED, 20), _patched(1, blue, red, RED, RED, 20)])[1] == 0


def test_a_swap_in_the_middle_of_nowhere_is_undone() -> None:
    """Two thirds of a second and far apart, known by the shirts alone."""
    red, blue = walk(120, 0, range(60)), walk(520, 0, range(60))
    tracks = [_patched(0, red, blue, RED, BLUE, 20, 40), _patched(1, blue, red, BLUE, RED, 20, 40)]
    (first, second), count = fix_identity_switches(tracks)
    assert count == 1
    assert [d.box[0] < 300 for d in first.detections] == [True] * 60
    assert [d.box[0] < 300 for d in second.detections] == [False] * 60


def test_one_person_taken_for_two_is_one_again() -> None:
    """Blue goes behind red; for a while the tracker has both numbers on red."""
    red, blue = walk(300, 0, range(60)), walk(560, -12, range(60))
    wrong = range(20, 40)
    shadow = {f: stick_figure(302) if f in wrong else p for f, p in blue.items()}
    seen = {f: draw_torsos([(red[f], RED)] if f in wrong else [(blue[f], BLUE), (red[f], RED)]) for f in red}
    tracks, count = remove_duplicate_tracks([_seen(0, red, seen), _seen(1, shadow, seen)])
    assert len(tracks[0].frames) == 60 and count == len(wrong)
    assert set(tracks[1].frames) == set(range(60)) - set(wrong)


def test_a_track_that_is_always_somebody_else_is_no_person() -> None:
    red = walk(300, 0, range(30))
    again = {f: stick_figure(303, score=0.4).flip_left_right() for f in red}
    tracks, count = remove_duplicate_tracks([track(0, again, RED), track(1, red, RED)])
    assert [t.track_id for t in tracks] == [1] and count == 30


def test_two_who_wear_the_same_and_stand_apart_stay_two() -> None:
    tracks = [track(0, walk(200, 0, range(30)), RED), track(1, walk(400, 0, range(30)), RED)]
    assert remove_duplicate_tracks(tracks)[1] == 0


def _seen(number: int, places: Places, images: dict[int, np.ndarray]) -> Track:
    made = Track(number)
    for frame, person in places.items():
        image = images[frame]
        made.add(frame, person, torso_histogram(image, person), clothing_colors(image, person), 1.0)
    return made


def _patched(
    number: int,
    head: Places,
    tail: Places,
    head_colour: Colour,
    tail_colour: Colour,
    cut: int,
    back: int = 1000,
) -> Track:
    """Somebody's track that goes on with somebody else's from frame `cut` on, until `back`."""
    own = track(number, head, head_colour)
    other = track(number, tail, tail_colour)
    return assemble_track(number, [(other if cut <= frame < back else own, k) for k, frame in enumerate(own.frames)])


def test_bystanders_and_passers_by_are_not_chosen() -> None:
    near = [track(number, walk(100 + 150 * number, 0, range(60)), RED) for number in (0, 1)]
    far = track(2, walk(500, 0, range(60), height=80), BLUE)
    passing = track(3, walk(0, 20, range(10)), GREEN)
    tracks = [*near, far, passing]
    assert [t.track_id for t in choose_tracks(tracks, None)] == [0, 1]
    assert [t.track_id for t in choose_tracks(tracks, 1)] == [0]
    assert [t.track_id for t in choose_tracks(tracks, 3)] == [0, 1, 2]
    assert [t.track_id for t in choose_tracks(tracks, (3, 0))] == [3, 0]


def test_people_who_are_not_there_are_told() -> None:
    tracks = [track(0, walk(100, 0, range(60)), RED)]
    for wish in (2, 0, (4,)):
        with pytest.raises(InputError, match=r"0 \(60 frames, \d+ px tall\).*--people"):
            choose_tracks(tracks, wish)
