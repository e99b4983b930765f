"""The bundled text and pose encoders load, retrieve poses by text far above chance, and are saved unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from closemesh.core.errors import ModelFileError
from closemesh.lab.evaluation.text_retrieval import Gallery, benchmark_gallery, retrieve
from closemesh.text.alignment import POSES_FILE, PoseTextModel, load_alignment, save_alignment
from closemesh.text.text_encoder import load_tokenizer
from closemesh.weights.locate import find_model

SMALL = 50


@pytest.fixture(scope="module")
def alignment() -> PoseTextModel:
    return load_alignment("cpu")


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return benchmark_gallery(SMALL)


def test_texts_find_their_poses(alignment: PoseTextModel, gallery: Gallery):
    poses, _ = alignment.pose_encoder(gallery.features())
    texts = alignment.encode_texts(gallery.texts(None))
    found = retrieve(texts, range(SMALL), poses)
    assert found.first > 0.6 and found.ten > 0.9  # 0.82 and 1 measured.
    others = retrieve(texts, [(k + SMALL // 2) % SMALL for k in range(SMALL)], poses)
    assert others.first < 0.1, "texts do not find the poses of other texts"


def test_soft_vectors_are_near_quantized_ones(alignment: PoseTextModel, gallery: Gallery):
    quantized, tokens = alignment.pose_encoder(gallery.features())
    similarity = (alignment.pose_encoder.soft(gallery.features()) * quantized).sum(-1)
    assert similarity.median() > 0.9
    assert len(tokens.vectors) == SMALL


def test_a_text_is_the_sum_of_its_sentences(alignment: PoseTextModel):
    vectors = alignment.encode_sentences(["A's left knee is bent", "A squats"])
    expected = torch.nn.functional.normalize(vectors.sum(0), dim=0)
    torch.testing.assert_close(alignment.encode_texts(["A's left knee is bent. A squats"])[0], expected)


def test_encoders_are_saved_unchanged(alignment: PoseTextModel, gallery: Gallery, tmp_path: Path):
    save_alignment(tmp_path, alignment, {})
    again = load_alignment("cpu", tmp_path)
    torch.testing.assert_close(again.pose_encoder(gallery.features())[0], alignment.pose_encoder(gallery.features())[0])
    torch.testing.assert_close(again.encode_texts(["A squats."]), alignment.encode_texts(["A squats."]))


def test_a_damaged_file_is_one_clear_line(tmp_path: Path):
    whole = find_model(POSES_FILE).read_bytes()
    (tmp_path / Path(POSES_FILE).name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFileError):
        load_alignment("cpu", tmp_path)


def test_the_bundled_files_are_small_and_complete():
    files = [file for file in find_model(POSES_FILE).parent.iterdir() if file.is_file()]
    assert {"README.md", "LICENSE", "NOTICE"} <= {file.name for file in files}
    assert sum(file.stat().st_size for file in files) < 30e6
    assert len(load_tokenizer()) == load_alignment("cpu").text_encoder.config.transformer.vocabulary
