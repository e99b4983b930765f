"""ReportRecords: what the report shows of a result, from a run in memory or from a finished folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.core.errors import InputError
from closemesh.core.foreign import foreign_file
from closemesh.core.records import load_record
from closemesh.output.people import camera_motion, read_people
from closemesh.output.result_json import read_contacts, read_scene, scene_camera
from closemesh.structures import BodyMotion, Camera, Clip, Observations, PairContacts, PoseUncertainty, Reconstruction

_UNCERTAINTY = "stages/initialise/2.PoseUncertainty.npz"


@dataclass(frozen=True)
class ReportRecords:
    """The records of one result."""

    scene: Mapping[str, Any]
    """Values of scene.json."""
    clip: Clip
    camera: Camera
    observations: Observations
    motion: BodyMotion
    """The result, camera frame."""
    contacts: tuple[PairContacts, ...]
    """Of the result."""
    body: BodyModel
    uncertainty: PoseUncertainty | None = None
    """Of the motion `initial`; None where it is not known."""
    truth: BodyMotion | None = None
    """The true motion of the same people, camera frame; only of simulated clips."""


def report_records(
    reconstruction: Reconstruction, out: Path, body: BodyModel, uncertainty: PoseUncertainty | None
) -> ReportRecords:
    """The records of a run whose other files are in the folder `out`. Raises InputError without a scene.json there."""
    r = reconstruction
    contacts = next(reversed(list(r.contacts.values())), ())
    scene = read_scene(out / "scene.json")
    return ReportRecords(scene, r.clip, r.camera, r.observations, r.motion, contacts, body, uncertainty)


def read_report_records(out: Path, truth: BodyMotion | None = None) -> ReportRecords:
    """The records of a finished result in the folder `out`.

    Raises InputError when a file is missing, damaged or of another result than the others, ModelFileError for the body.
    """
    scene = read_scene(out / "scene.json")
    with foreign_file(out / "scene.json", advice="run `closemesh reconstruct` again"):
        body = load_body(scene["config"].get("body_model"))
    camera = scene_camera(scene)
    motion = camera_motion(read_people(out / "people"), camera, body)
    clip = load_record(out / "stages" / "clip.npz", Clip)
    observations = load_record(out / "observations.npz", Observations)
    uncertainty = load_record(out / _UNCERTAINTY, PoseUncertainty) if (out / _UNCERTAINTY).is_file() else None
    contacts = read_contacts(out / "contacts.json")[1]
    records = ReportRecords(scene, clip, camera, observations, motion, contacts, body, uncertainty, truth)
    _require_same_size(out, records)
    return records


def _require_same_size(out: Path, records: ReportRecords) -> None:
    """Raises InputError when the records differ in their numbers of frames or people."""
    shape = records.motion.valid.shape  # [T, P]
    shapes = [records.observations.detected.shape, (len(records.clip), shape[1])]
    shapes += [(len(pair.distance), shape[1]) for pair in records.contacts]
    shapes += [one.valid.shape for one in (records.truth,) if one is not None]
    shapes += [one.rotation_std.shape[:2] for one in (records.uncertainty,) if one is not None]
    people = [person for pair in records.contacts for person in (pair.person_a, pair.person_b)]
    ends = [contact.end for pair in records.contacts for contact in pair.contacts]
    if any(one != shape for one in shapes) or max(people, default=0) >= shape[1] or max(ends, default=0) >= shape[0]:
        raise InputError(f"{out} mixes files of different results; run `closemesh reconstruct` again")
