"""Transfer of people in contact to a body of other proportions: position and contact are preserved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from embrace import embrace
from stand_in_body import write_bundled_stand_in, write_smplx_stand_in

from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body.motion import motion_joints
from closemesh.body_transfer.report import contact_changes, transfer_errors
from closemesh.body_transfer.transfer import TransferSteps, copy_pose, transfer_motion
from closemesh.contact.measure import measure_contacts
from closemesh.core.progress import NullProgress

STEPS = TransferSteps(shape=40, pose=20, contact=60)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("write", "name", "measured_to", "limits"),
    [  # Measured: joints 4.0 and 5.5, surface 5.1 and 2.9 mm, depth 0.9 and 1.1 mm less.
        (write_bundled_stand_in, "OTHER.npz", "the same vertex", (7, 8)),
        (write_smplx_stand_in, "SMPLX_NEUTRAL.npz", "the nearest point", (8, 5)),
    ],
)
def test_the_target_body_follows_the_source_body_and_its_contact(
    tmp_path: Path, write, name: str, measured_to: str, limits: tuple[float, float]
) -> None:
    source, target = load_bundled_body("light"), load_body(write(tmp_path / name))
    motion = embrace(source, frames=2)
    result = transfer_motion(motion, source, target, np.arange(2) / 30, CPU, NullProgress(), STEPS)
    versions = {"copied": result.copied, "fitted": result.fitted}
    metrics = transfer_errors(motion, source, versions, target)
    assert metrics["surface_measured_to"] == measured_to
    for metric, limit in zip(("joints_mm", "surface_mm"), limits, strict=True):
        assert metrics[metric]["fitted"]["mean"] < limit
        assert metrics[metric]["fitted"]["mean"] < 0.6 * metrics[metric]["copied"]["mean"]
    contacts = {"source": measure_contacts(motion, source, NullProgress())}
    contacts |= {version: measure_contacts(m, target, NullProgress()) for version, m in versions.items()}
    (pair,) = contact_changes(contacts)
    assert pair["fitted"]["frames_touching"] == pair["source"]["frames_touching"]
    assert abs(pair["fitted"]["gap_mm"] - pair["source"]["gap_mm"]) < 3
    assert pair["fitted"]["depth_mm"] < pair["source"]["depth_mm"] + 3
    assert result.fitted.body_model == target.name and result.fitted.transl.dtype == np.float32


def test_copied_poses_have_the_same_rotations_and_pelvis(tmp_path: Path) -> None:
    source, target = load_bundled_body("light"), load_body(write_bundled_stand_in(tmp_path / "OTHER.npz"))
    motion = embrace(source, frames=2)
    copied = copy_pose(motion, source, target)
    np.testing.assert_array_equal(copied.rotations, motion.rotations)
    pelvis = [motion_joints(m, body)[:, :, 0] for m, body in ((motion, source), (copied, target))]
    np.testing.assert_allclose(*pelvis, atol=1e-5)


def test_frames_that_are_not_valid_have_no_effect(tmp_path: Path) -> None:
    source, target = load_bundled_body("light"), load_body(write_bundled_stand_in(tmp_path / "OTHER.npz"))
    motion = embrace(source, frames=2)
    motion.valid[:, 1] = False
    result = transfer_motion(motion, source, target, np.arange(2) / 30, CPU, NullProgress(), TransferSteps(10, 5, 5))
    assert np.isfinite(result.fitted.transl).all() and np.isfinite(result.fitted.rotations).all()
    assert np.abs(result.fitted.betas[1]).max() < 1e-3  # Nothing is known of the shape.
