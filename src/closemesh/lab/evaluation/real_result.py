"""The result of one real clip, read from the folder that `reconstruct` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.body_transfer.report import check_source_body
from closemesh.core.errors import InputError
from closemesh.core.records import load_record
from closemesh.output.people import camera_motion, read_people
from closemesh.output.result_json import read_contacts, read_scene, scene_camera, scene_psnr
from closemesh.pipeline.cache import STAGE_OF_MOTION, load_saved_motion, reading_result
from closemesh.pipeline.context import MASKS
from closemesh.structures import BodyMotion, Camera, Clip, Observations, PairContacts


@dataclass(frozen=True)
class ClipResult:
    """What the pipeline made of one clip."""

    clip: Clip
    observations: Observations
    body: BodyModel
    motions: Mapping[str, BodyMotion]
    """By name, in the order of the stages. Camera frame."""
    cameras: Mapping[str, Camera]
    """By the same names."""
    contacts: Mapping[str, Sequence[PairContacts]]
    """By the same names; those of a motion may be missing."""
    masks: Path | None
    """Folder of label images, numbered by processed frame."""
    psnr: float | None = None
    """In dB, of the avatars of the last motion in views that no fit used; None without avatars."""

    def positions(self, frames: tuple[int, int]) -> np.ndarray:
        """Processed frames [N] from the first to the last frame of the file."""
        indices = self.clip.frame_indices
        return np.flatnonzero((indices >= frames[0]) & (indices <= frames[1]))


def load_result(out: Path) -> ClipResult:
    """The result in the folder `out`, of this or an earlier version: all motions, or without `stages` the last one.

    Raises InputError when there is no finished result, a file is damaged, or its body is not there any more.
    """
    scene = read_scene(out / "scene.json")
    body = load_body(scene["config"].get("body_model"))
    check_source_body(out, body)
    clip, motions, cameras = _saved_motions(out) or _last_motion(out, scene, body)
    before, after = read_contacts(out / "contacts.json")
    contacts: dict[str, Sequence[PairContacts]] = {"optimised": after}
    if "initial" in motions:
        contacts["initial"] = before
        middle = _stage_contacts(out / "stages" / "contact_refined")
        contacts |= {} if middle is None else {"refined": middle}
    masks = out / MASKS
    return ClipResult(
        clip=clip,
        observations=load_record(out / "observations.npz", Observations),
        body=body,
        motions=motions,
        cameras=cameras,
        contacts={name: contacts[name] for name in motions if name in contacts},
        masks=masks if masks.is_dir() else None,
        psnr=scene_psnr(scene),
    )


_Motions = tuple[Clip, dict[str, BodyMotion], dict[str, Camera]]


def _saved_motions(out: Path) -> _Motions | None:
    """The motions of all stages; None when their files are not there. Raises InputError when they are of two runs."""
    with reading_result(out):  # A mixture of two runs is an error; stages that are missing are none.
        pass
    with suppress(InputError):
        saved = {name: load_saved_motion(out, name) for name in STAGE_OF_MOTION}
        motions = {name: one.motion for name, one in saved.items()}
        return saved["optimised"].clip, motions, {name: one.camera for name, one in saved.items()}
    return None


def _last_motion(out: Path, scene: dict[str, Any], body: BodyModel) -> _Motions:
    """The last motion from the person files. Raises InputError when scene.json is damaged."""
    people, camera = read_people(out / "people"), scene_camera(scene)
    motion = camera_motion(people, camera, body)
    try:
        source = scene["input"]
        first, last = source["frame_range"]
        # The file holds only the range; in between, frames are evenly spaced.
        indices = np.linspace(first, last, len(motion.transl)).round().astype(np.int64)
        size = (int(source["size"][0]), int(source["size"][1]))
        clip = Clip(Path(source["path"]), source["sha256"], indices, people[0].times, size, source["fps"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{out / 'scene.json'} is damaged ({error}); run `closemesh reconstruct` again") from error
    return clip, {"optimised": motion}, {"optimised": camera}


def _stage_contacts(folder: Path) -> tuple[PairContacts, ...] | None:
    """The contacts that a stage left in its folder; None without the folder."""
    if not (folder / "stage.json").is_file():
        return None
    files = sorted(folder.glob("*.PairContacts.npz"), key=lambda path: int(path.name.split(".")[0]))
    return tuple(load_record(path, PairContacts) for path in files)
