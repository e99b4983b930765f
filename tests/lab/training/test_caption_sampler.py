"""Captions are shortened, and batches of them are seeded."""

from __future__ import annotations

from random import Random

import torch

from closemesh.lab.training.caption_labels import labels_of
from closemesh.lab.training.caption_sampler import CaptionSampler, shorten
from closemesh.text.text_encoder import load_tokenizer


def test_captions_are_shortened_as_people_do():
    found = {shorten("the left arm is bent", Random(seed)) for seed in range(40)}
    assert {"the left arm is bent", "left arm bent", "the left arm bent"} <= found
    assert any(text.startswith(("keeps", "has", "holds", "with")) for text in found) and "the bent left arm" in found


def test_batches_are_new_and_equal_for_equal_seeds():
    sampler = CaptionSampler(load_tokenizer())
    first, again, other = (list(sampler.batches(Random(seed), 16, 4)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a.tokens, b.tokens) and torch.equal(a.labels, b.labels) for a, b in zip(first, again, strict=True)
    )
    assert not all(torch.equal(a.labels, b.labels) for a, b in zip(first, other, strict=True))
    assert first[0].labels.shape == (16, len(labels_of(2))) and (first[0].labels.sum(1) >= 1).all()
