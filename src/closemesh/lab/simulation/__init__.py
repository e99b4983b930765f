"""Scenes with known truth, their videos, their detections."""
