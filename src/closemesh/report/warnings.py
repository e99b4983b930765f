"""Warnings in sentences, from measured values: parts of a result that are guesses, and assumptions that do not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.report.measures import keypoint_range, keypoint_std
from closemesh.report.records import ReportRecords
from closemesh.structures import PairContacts
from closemesh.temporal import find_runs


@dataclass(frozen=True)
class Limits:
    """Values from which on the report warns."""

    background_shift: float = 0.005
    """Of the image diagonal in half a second. The bundled clip, with a camera that stands still, measures 0.0001."""
    focal_std: float = 0.15
    """Of the focal length; the estimate from the people has 0.15 to 0.3."""
    keypoint_std: float = 0.10
    """Meters; a keypoint that is less certain, or not seen, shows nothing of its limb."""
    still_range: float = 0.015
    """Of the person's height in the image, see `keypoint_range`."""
    still_seconds: float = 2.0
    """Shorter clips do not show whether a person moves."""
    shortest_frames: int = 5
    """Shortest interval that is named; in a shorter clip, all of its frames."""
    bridge_frames: int = 5
    """Longest interruption of such an interval."""
    depth: float = 0.03
    """Meters by which bodies intersect."""
    jitter: float = 200.0
    """Mean jerk in m/s^3; results of the benchmark on simulated clips have about 60."""
    reprojection: float = 5.0
    """Percent of the person's height, exceeded by 5 % of the keypoints."""
    track_confidence: float = 0.5
    """Mean confidence of an identity."""


Span = tuple[int, int]
"""First and last frame, inclusive."""


@dataclass(frozen=True)
class ReportWarning:
    """A doubt about the result."""

    text: str
    spans: tuple[Span, ...] = ()
    """The frames that it is about; empty for all."""


_DEFAULT = Limits()


def report_warnings(
    records: ReportRecords, background_shifts: Mapping[int, float], limits: Limits = _DEFAULT
) -> tuple[ReportWarning, ...]:
    """All warnings, those about the whole clip first. background_shifts: those of `BackgroundMotion`, by frame."""
    found = (
        *_camera_warnings(records, background_shifts, limits),
        *_people_warnings(records, background_shifts, limits),
        *_limb_warnings(records, limits),
        *_fit_warnings(records, limits),
    )
    return found if len(records.clip) > 1 else tuple(ReportWarning(warning.text) for warning in found)


def spans_in_words(spans: Sequence[Span], num_frames: int) -> str:
    """`In all frames`, `Frame 3`, `Frames 3-8`, `Frames 3-8, 12 and 20-31` (with en dashes)."""
    if list(spans) == [(0, num_frames - 1)]:
        return "In all frames" if num_frames > 1 else "In the image"
    parts = [str(first) if first == last else f"{first}\N{EN DASH}{last}" for first, last in spans]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Frame {listed}" if len(parts) == 1 and spans[0][0] == spans[0][1] else f"Frames {listed}"


def _camera_warnings(records: ReportRecords, shifts: Mapping[int, float], limits: Limits) -> Iterator[ReportWarning]:
    camera, frame = records.camera, max(shifts, key=shifts.__getitem__, default=0)
    if _camera_moves(shifts, limits):
        yield ReportWarning(
            f"The camera seems to move: the background shifts by up to {_percent(shifts[frame])} of the image diagonal "
            "in half a second. A camera that stands still is assumed, so positions in the world drift.",
            ((frame, frame),),
        )
    if camera.focal_std > limits.focal_std * camera.focal:
        yield ReportWarning(
            f"The focal length is uncertain by {_percent(camera.focal_std / camera.focal)}, and all distances from the "
            "camera with it. A camera file or --focal removes this doubt."
        )
    if not camera.floor_found:
        yield ReportWarning("No floor was found: heights above the ground are estimates.")
    if len(records.clip) == 1:
        yield ReportWarning("One image shows no motion: depths and hidden limbs are less certain than in a video.")


def _people_warnings(records: ReportRecords, shifts: Mapping[int, float], limits: Limits) -> Iterator[ReportWarning]:
    observed, valid = records.observations, records.motion.valid
    long_enough = records.clip.times[-1] - records.clip.times[0] >= limits.still_seconds
    ranges = keypoint_range(records)
    for person in range(observed.num_people):
        if long_enough and not _camera_moves(shifts, limits) and ranges[person] < limits.still_range:
            yield ReportWarning(f"Person {person} never moves and may be a poster, a statue or a reflection.")
        confidence = observed.track_confidence[valid[:, person], person]
        if confidence.size and confidence.mean() < limits.track_confidence:
            yield ReportWarning(f"Person {person} may be confused with another person: the identity is uncertain.")
        inferred = _spans(valid[:, person] & ~observed.detected[:, person], limits)
        if inferred:
            yield ReportWarning(
                f"{spans_in_words(inferred, len(valid))}: person {person} is not detected. The pose is inferred from "
                "the frames around and from the other people.",
                inferred,
            )
        absent = _spans(~valid[:, person], limits)
        if absent:
            yield ReportWarning(f"{spans_in_words(absent, len(valid))}: person {person} is missing.", absent)


@dataclass(frozen=True)
class _Limb:
    name: str
    far_part: str
    """The part beyond the middle joint."""
    middle: str
    end: str


_LIMBS = tuple(
    _Limb(f"{side} {limb}", f"{side} {far_part}", f"{side}_{middle}", f"{side}_{end}")
    for limb, far_part, middle, end in (
        ("arm", "forearm and hand", "elbow", "wrist"),
        ("leg", "lower leg and foot", "knee", "ankle"),
    )
    for side in ("left", "right")
)
_FACE = [KEYPOINT_INDEX[name] for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear")]


def _limb_warnings(records: ReportRecords, limits: Limits) -> Iterator[ReportWarning]:
    """One warning for each part of a person that the image does not show, with all its intervals."""
    std, observed = keypoint_std(records), records.observations
    for person in range(observed.num_people):
        unseen = (std[:, person] > limits.keypoint_std) & observed.detected[:, person, None]  # [T, 23]
        found: dict[str, list[Span]] = {}
        for limb in _LIMBS:
            for first, last in _spans(unseen[:, KEYPOINT_INDEX[limb.end]], limits):
                is_whole = unseen[first : last + 1, KEYPOINT_INDEX[limb.middle]].mean() > 0.5
                found.setdefault(limb.name if is_whole else limb.far_part, []).append((first, last))
        head = _spans(np.asarray(unseen[:, _FACE].all(-1)), limits)
        for part, spans in (*found.items(), *([("head", head)] if head else [])):
            yield _guess(records, person, part, tuple(spans))


def _guess(records: ReportRecords, person: int, part: str, spans: tuple[Span, ...]) -> ReportWarning:
    frames = spans_in_words(spans, len(records.clip))
    guess = "are a guess; they are" if " and " in part else "is a guess; it is"
    reason = "outside the image" if _is_outside(records, person, part, spans) else "hidden or not recognized"
    return ReportWarning(f"{frames}: the {part} of person {person} {guess} {reason}.", spans)


def _is_outside(records: ReportRecords, person: int, part: str, spans: tuple[Span, ...]) -> bool:
    """Whether the end of a part is outside the image in most of these frames."""
    outside = records.observations.outside
    if outside is None:
        return False
    side, _, rest = part.partition(" ")
    end = "nose" if part == "head" else f"{side}_{'ankle' if 'leg' in rest else 'wrist'}"
    of_end = outside[:, person, KEYPOINT_INDEX[end]]
    return bool(np.concatenate([of_end[first : last + 1] for first, last in spans]).mean() > 0.5)


def _fit_warnings(records: ReportRecords, limits: Limits) -> Iterator[ReportWarning]:
    for pair in records.contacts:
        deep = _spans(np.nan_to_num(pair.depth) > limits.depth, limits)
        if deep:
            yield ReportWarning(
                f"{spans_in_words(deep, len(pair.depth))}: the bodies of persons {pair.person_a} and {pair.person_b} "
                f"intersect by up to {1000 * _deepest(pair):.0f} mm.",
                deep,
            )
    quality: Mapping[str, Mapping[str, float | None]] = records.scene.get("quality") or {}
    values = next(reversed(list(quality.values())), {})
    jitter, error = values.get("jitter_m_s3"), values.get("reprojection_p95_percent_of_height")
    if jitter is not None and jitter > limits.jitter:
        yield ReportWarning(f"The motion jitters: its mean jerk is {jitter:.0f} m/s³, in the benchmark about 60.")
    if error is not None and error > limits.reprojection:
        yield ReportWarning(
            f"Some body parts miss their keypoints: 5 % of the errors exceed {error:.1f} % of the person's height."
        )


def _camera_moves(shifts: Mapping[int, float], limits: Limits) -> bool:
    return max(shifts.values(), default=0.0) > limits.background_shift


def _spans(active: Bools, limits: Limits) -> tuple[Span, ...]:
    """Intervals of active [T] frames, with short interruptions bridged and short intervals left out."""
    shortest = min(limits.shortest_frames, len(active))
    runs = find_runs(active, limits.bridge_frames + 1)
    return tuple((run.start, run.stop - 1) for run in runs if run.stop - run.start >= shortest)


def _deepest(pair: PairContacts) -> float:
    depth: Floats = pair.depth[np.isfinite(pair.depth)]
    return float(depth.max(initial=0.0))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
