"""Helpers that every package may import and that do not depend on bodies or cameras."""
