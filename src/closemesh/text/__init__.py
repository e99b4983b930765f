"""Statements about people: vocabulary, captioning, parsing, losses, models."""
