"""The bundled errors have plausible values and shapes; damaged files are reported in one line."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from sample_errors import no_errors

from closemesh.core.errors import ModelFileError
from closemesh.lab.simulation.detector_errors import DetectorErrors, load_detector_errors, save_detector_errors


def tensors(errors: DetectorErrors) -> dict[str, torch.Tensor]:
    return {f.name: getattr(errors, f.name) for f in fields(errors) if f.name != "measured_on"}


def test_the_bundled_errors_have_the_expected_shapes_and_ranges():
    bundled, shapes = tensors(load_detector_errors()), tensors(no_errors())
    for name, tensor in bundled.items():
        assert tensor.shape == shapes[name].shape, name
        assert torch.isfinite(tensor).all(), name
    for name in (
        "error",
        "confidence",
        "disagreement",
        "keypoints3d_confidence",
        "track_confidence",
        "box",
        "keypoints3d_rotation",
    ):
        assert (bundled[name].diff(dim=-1) >= 0).all(), f"{name} is a quantile function"
    for name in (
        "miss",
        "partner_snap",
        "left_right_flip",
        "identity_switch",
        "absent",
        "confidence",
        "track_confidence",
        "keypoints3d_confidence",
    ):
        assert (bundled[name] >= 0).all() and (bundled[name] <= 1.001).all(), f"{name} is a fraction"
    for name in tensors(no_errors()):
        if name.endswith("_variances"):
            assert torch.allclose(bundled[name].sum(-1), torch.tensor(1.0), atol=5e-3), name
    middle = len(bundled["levels"]) // 2
    visible, hidden = bundled["error"][5:17, :, middle].unbind(1)
    assert (visible < hidden).all(), "hidden keypoints have larger errors"


def test_a_written_file_is_read_again(tmp_path):
    errors = no_errors(error=0.1 * torch.rand(23, 2, 28, generator=torch.Generator().manual_seed(0)).cumsum(-1))
    save_detector_errors(tmp_path / "errors.npz", errors)
    read = load_detector_errors(tmp_path / "errors.npz")
    assert read.measured_on == "nothing"
    for name, tensor in tensors(errors).items():
        assert torch.allclose(getattr(read, name), tensor, rtol=2e-3, atol=1e-4), name


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_bad_files_are_one_clear_line(tmp_path, damage):
    path = tmp_path / "errors.npz"
    if damage == "cut":
        save_detector_errors(path, no_errors())
        path.write_bytes(path.read_bytes()[:2000])
    if damage == "other":
        np.savez(path, something=np.zeros(3))
    with pytest.raises(ModelFileError, match="does not hold detector errors") as fault:
        load_detector_errors(path)
    assert "\n" not in str(fault.value)


def test_files_without_the_matched_tables_are_read(tmp_path):
    path, old = tmp_path / "errors.npz", tmp_path / "old.npz"
    save_detector_errors(path, no_errors(outside_rate=torch.full((23,), 0.5), partner_confusion=torch.ones(23)))
    with np.load(path) as file:
        np.savez(
            old, **{name: file[name] for name in file.files if "outside" not in name and name != "partner_confusion"}
        )
    read = load_detector_errors(old)
    for name in ("outside_rate", "outside_inset", "outside_confidence", "partner_confusion"):
        assert getattr(read, name).shape == getattr(no_errors(), name).shape and not getattr(read, name).any()
