"""People in contact put on a body of other proportions: they stay where they were, and in touch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from embrace import embrace
from stand_in_body import write_licensed_stand_in, write_open_stand_in

from closemesh.body.loading import load_body, load_open_body
from closemesh.body.motion import motion_joints
from closemesh.body_transfer.report import contact_figures, conversion_figures
from closemesh.body_transfer.transfer import ConversionSteps, copy_pose, transfer_motion
from closemesh.contact.measure import measure_contacts
from closemesh.core.progress import NullProgress

STEPS = ConversionSteps(shape=40, pose=20, contact=60)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("write", "name", "measured_to", "limits"),
    [  # Measured: joints 4.0 and 5.5, skin 5.1 and 2.9 mm, depth 0.9 and 1.1 mm less than before.
        (write_open_stand_in, "OTHER.npz", "the same vertex", (7, 8)),
        (write_licensed_stand_in, "SMPLX_NEUTRAL.npz", "the nearest point", (8, 5)),
    ],
)
def test_the_new_body_lies_in_the_old_one_and_touches_where_it_did(
    tmp_path: Path, write, name: str, measured_to: str, limits: tuple[float, float]
) -> None:
    source, target = load_open_body("light"), load_body(write(tmp_path / name))
    motion = embrace(source, frames=2)
    made = transfer_motion(motion, source, target, np.arange(2) / 30, CPU, NullProgress(), STEPS)
    versions = {"copied": made.copied, "fitted": made.fitted}
    figures = conversion_figures(motion, source, versions, target)
    assert figures["surface_measured_to"] == measured_to
    for figure, limit in zip(("joints_mm", "surface_mm"), limits, strict=True):
        assert figures[figure]["fitted"]["mean"] < limit
        assert figures[figure]["fitted"]["mean"] < 0.6 * figures[figure]["copied"]["mean"]
    contacts = {"source": measure_contacts(motion, source, NullProgress())}
    contacts |= {version: measure_contacts(m, target, NullProgress()) for version, m in versions.items()}
    (pair,) = contact_figures(contacts)
    assert pair["fitted"]["frames_touching"] == pair["source"]["frames_touching"]
    assert abs(pair["fitted"]["gap_mm"] - pair["source"]["gap_mm"]) < 3
    assert pair["fitted"]["depth_mm"] < pair["source"]["depth_mm"] + 3
    assert made.fitted.body_model == target.name and made.fitted.transl.dtype == np.float32


def test_copying_keeps_rotations_and_pelvis(tmp_path: Path) -> None:
    source, target = load_open_body("light"), load_body(write_open_stand_in(tmp_path / "OTHER.npz"))
    motion = embrace(source, frames=2)
    copied = copy_pose(motion, source, target)
    np.testing.assert_array_equal(copied.rotations, motion.rotations)
    pelvis = [motion_joints(m, body)[:, :, 0] for m, body in ((motion, source), (copied, target))]
    np.testing.assert_allclose(*pelvis, atol=1e-5)


def test_somebody_who_is_away_does_not_pull(tmp_path: Path) -> None:
    source, target = load_open_body("light"), load_body(write_open_stand_in(tmp_path / "OTHER.npz"))
    motion = embrace(source, frames=2)
    motion.valid[:, 1] = False
    made = transfer_motion(motion, source, target, np.arange(2) / 30, CPU, NullProgress(), ConversionSteps(10, 5, 5))
    assert np.isfinite(made.fitted.transl).all() and np.isfinite(made.fitted.rotations).all()
    assert np.abs(made.fitted.betas[1]).max() < 1e-3  # Nothing is known of the shape.
