"""How near a motion on the new body comes to that on the old one, in millimetres: joints, keypoints, skin, contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.contact.intervals import ContactConfig
from closemesh.contact.measure import measure_contacts
from closemesh.contact.surface import ClosedSurface
from closemesh.export.skin_match import motion_skin, same_faces, skins
from closemesh.output.skinned import motion_joints, motion_keypoints
from closemesh.progress import Progress
from closemesh.scene import NUM_BODY_JOINTS, BodyMotion, Bools, Floats, PairContacts

Figures = dict[str, Any]
"""Plain values for JSON; lengths in millimetres with the unit at the end of the name."""

_NUM_KEYPOINTS = 23  # Body and feet.
_SKIN_FRAMES = 24  # Frames, spread over the clip, whose skin is measured.
_TOUCH = ContactConfig().touch_distance


def conversion_figures(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel
) -> Figures:
    """Mean and largest distances of each of `versions` on `target` from `motion` on `source`, over valid frames."""
    points = {
        "joints_mm": lambda m, body: motion_joints(m, body)[:, :, :NUM_BODY_JOINTS],
        "keypoints_mm": lambda m, body: motion_keypoints(m, body)[:, :, :_NUM_KEYPOINTS],
    }
    figures: Figures = {}
    for name, of_motion in points.items():
        old = of_motion(motion, source)
        figures[name] = {
            version: _in_mm(np.linalg.norm(of_motion(m, target) - old, axis=-1), motion.valid)
            for version, m in versions.items()
        }
    figures["surface_measured_to"] = "the same vertex" if same_faces(source, target) else "the nearest point"
    figures["surface_mm"] = {name: _skin_error(motion, source, m, target) for name, m in versions.items()}
    return figures


def contact_figures(contacts: Mapping[str, Sequence[PairContacts]]) -> list[Figures]:
    """What became of every pair that touches in the first of `contacts`, in the frames in which it does.

    gap: mean of the smallest distances; depth: deepest crossing; touching: frames nearer than the touch distance.
    """
    names = list(contacts)
    of_pairs = {name: {(pair.person_a, pair.person_b): pair for pair in pairs} for name, pairs in contacts.items()}
    rows = []
    for people, pair in of_pairs[names[0]].items():
        touching = np.nan_to_num(pair.distance, nan=np.inf) < _TOUCH
        if touching.any():
            rows.append(
                {"people": list(people), **{name: _contact(of_pairs[name].get(people), touching) for name in names}}
            )
    return rows


def pair_contacts(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel, progress: Progress
) -> dict[str, tuple[PairContacts, ...]]:
    """Contacts on the old body (`source`) and of each version on the new one."""
    return {
        "source": measure_contacts(motion, source, progress),
        **{name: measure_contacts(version, target, progress) for name, version in versions.items()},
    }


def _contact(pair: PairContacts | None, touching: Bools) -> Figures | None:
    """None for a pair that no longer comes near."""
    if pair is None:
        return None
    return {
        "frames_touching": int((pair.distance[touching] < _TOUCH).sum()),
        "gap_mm": 1000 * float(np.nanmean(pair.distance[touching])),
        "depth_mm": 1000 * float(np.nanmax(pair.depth[touching])),
    }


def _skin_error(motion: BodyMotion, source: BodyModel, version: BodyMotion, target: BodyModel) -> Figures:
    old, new = skins(source, target)
    surface = None if old is source else ClosedSurface(old.faces.cpu().numpy(), old.v_template.double().cpu().numpy())
    frames = np.unique(np.linspace(0, len(motion.transl) - 1, _SKIN_FRAMES).round().astype(int))
    errors = []
    for t in frames:
        one, other = (_posed(body, m, t) for body, m in ((old, motion), (new, version)))
        if surface is None:
            errors.append(np.linalg.norm(other - one, axis=-1))
        else:
            errors.append(np.stack([surface.closest(b, a).distance for a, b in zip(one, other, strict=True)]))
    return _in_mm(np.stack(errors), motion.valid[frames])


def _posed(body: BodyModel, motion: BodyMotion, frame: int) -> Floats:
    """Vertices [P, V, 3] in one frame."""
    names = ("rotations", "transl", "expression", "valid", "confidence")
    one = motion.with_pose(**{name: getattr(motion, name)[frame : frame + 1] for name in names})
    return motion_skin(body, one)[0].double().cpu().numpy()


def _in_mm(errors: Floats, valid: Bools) -> Figures:
    """Mean and largest of errors [T, P, N] in metres where valid [T, P]; None where nobody is."""
    counted = 1000 * errors[valid]
    return {"mean": float(counted.mean()), "largest": float(counted.max())} if counted.size else {}
