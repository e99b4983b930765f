"""The bundled readers: they load, find poses by texts far above chance, and are kept as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from closemesh.core.errors import ModelFileError
from closemesh.lab.evaluation.text_retrieval import Gallery, benchmark_gallery, retrieve
from closemesh.text.alignment import POSES_FILE, PoseTextModel, load_alignment, save_alignment
from closemesh.text.text_encoder import load_pieces
from closemesh.weights.locate import find_model

SMALL = 50


@pytest.fixture(scope="module")
def alignment() -> PoseTextModel:
    return load_alignment("cpu")


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return benchmark_gallery(SMALL)


def test_texts_find_their_poses(alignment: PoseTextModel, gallery: Gallery):
    poses, _ = alignment.poses(gallery.features())
    texts = alignment.read(gallery.texts(None))
    found = retrieve(texts, range(SMALL), poses)
    assert found.first > 0.6 and found.ten > 0.9  # 0.82 and 1 measured.
    others = retrieve(texts, [(k + SMALL // 2) % SMALL for k in range(SMALL)], poses)
    assert others.first < 0.1, "texts do not find the poses of others"


def test_poses_without_codes_are_near_those_with_them(alignment: PoseTextModel, gallery: Gallery):
    with_codes, tokens = alignment.poses(gallery.features())
    alike = (alignment.poses.soft(gallery.features()) * with_codes).sum(-1)
    assert alike.median() > 0.9
    assert len(tokens.vectors) == SMALL


def test_a_text_is_the_sum_of_its_sentences(alignment: PoseTextModel):
    vectors = alignment.read_sentences(["A's left knee is bent", "A squats"])
    expected = torch.nn.functional.normalize(vectors.sum(0), dim=0)
    torch.testing.assert_close(alignment.read(["A's left knee is bent. A squats"])[0], expected)


def test_readers_are_kept_as_they_were(alignment: PoseTextModel, gallery: Gallery, tmp_path: Path):
    save_alignment(tmp_path, alignment, {})
    again = load_alignment("cpu", tmp_path)
    torch.testing.assert_close(again.poses(gallery.features())[0], alignment.poses(gallery.features())[0])
    torch.testing.assert_close(again.read(["A squats."]), alignment.read(["A squats."]))


def test_a_damaged_file_is_one_clear_line(tmp_path: Path):
    whole = find_model(POSES_FILE).read_bytes()
    (tmp_path / Path(POSES_FILE).name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError):
        load_alignment("cpu", tmp_path)


def test_what_comes_along_is_small_and_complete():
    files = [file for file in find_model(POSES_FILE).parent.iterdir() if file.is_file()]
    assert {"README.md", "LICENSE", "NOTICE"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 30e6
    assert len(load_pieces()) == load_alignment("cpu").text.config.encoder.pieces
