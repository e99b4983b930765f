"""Statements about people in text: vocabulary, captioning, parsing, losses and language models."""
