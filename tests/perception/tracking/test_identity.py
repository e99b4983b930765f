"""Identity switches and duplicate tracks."""

from __future__ import annotations

import numpy as np
from figure_tracks import BLUE, RED, Color, Places, track, walk
from stick_figures import draw_torsos, stick_figure

from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks
from closemesh.perception.tracking.similarity import clothing_colors, torso_histogram
from closemesh.perception.tracking.tracker import Track, assemble_track


def test_an_identity_switch_at_contact_is_corrected() -> None:
    """Both walk towards each other, meet in frames 18 to 22, and leave with exchanged IDs."""
    red, blue = walk(120, 10, range(40)), walk(520, -10, range(40))
    tracks = [_patched(0, red, blue, RED, BLUE, 20), _patched(1, blue, red, BLUE, RED, 20)]
    (first, second), count = fix_identity_switches(tracks)
    assert count == 1
    for found, true in ((first, red), (second, blue)):
        apart = [f for f in range(40) if abs(true[f].box[0] - found.detections[f].box[0]) > 1]
        assert set(apart) <= set(range(17, 24)), "only frames in which they overlap may stay switched"


def test_no_switch_is_found_where_there_is_none_or_clothing_is_alike() -> None:
    red, blue = walk(120, 10, range(40)), walk(520, -10, range(40))
    assert fix_identity_switches([track(0, red, RED), track(1, blue, BLUE)])[1] == 0
    assert fix_identity_switches([_patched(0, red, blue, RED, RED, 20), _patched(1, blue, red, RED, RED, 20)])[1] == 0


def test_a_switch_of_separate_people_is_corrected() -> None:
    """Two thirds of a second and far apart, recognizable by shirt colors alone."""
    red, blue = walk(120, 0, range(60)), walk(520, 0, range(60))
    tracks = [_patched(0, red, blue, RED, BLUE, 20, 40), _patched(1, blue, red, BLUE, RED, 20, 40)]
    (first, second), count = fix_identity_switches(tracks)
    assert count == 1
    assert [d.box[0] < 300 for d in first.detections] == [True] * 60
    assert [d.box[0] < 300 for d in second.detections] == [False] * 60


def test_duplicate_detections_during_occlusion_are_removed() -> None:
    """Blue goes behind red; for a while the tracker has both IDs on red."""
    red, blue = walk(300, 0, range(60)), walk(560, -12, range(60))
    wrong = range(20, 40)
    shadow = {f: stick_figure(302) if f in wrong else p for f, p in blue.items()}
    seen = {f: draw_torsos([(red[f], RED)] if f in wrong else [(blue[f], BLUE), (red[f], RED)]) for f in red}
    tracks, count = remove_duplicate_tracks([_seen(0, red, seen), _seen(1, shadow, seen)])
    assert len(tracks[0].frames) == 60 and count == len(wrong)
    assert set(tracks[1].frames) == set(range(60)) - set(wrong)


def test_a_track_that_always_duplicates_another_is_removed() -> None:
    red = walk(300, 0, range(30))
    again = {f: stick_figure(303, score=0.4).flip_left_right() for f in red}
    tracks, count = remove_duplicate_tracks([track(0, again, RED), track(1, red, RED)])
    assert [t.track_id for t in tracks] == [1] and count == 30


def test_two_separate_people_in_the_same_clothing_stay_two() -> None:
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
    head_color: Color,
    tail_color: Color,
    cut: int,
    back: int = 1000,
) -> Track:
    """A track that continues with another person's detections from frame `cut` until `back`."""
    own = track(number, head, head_color)
    other = track(number, tail, tail_color)
    return assemble_track(number, [(other if cut <= frame < back else own, k) for k, frame in enumerate(own.frames)])
