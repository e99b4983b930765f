"""Scenes with known ground truth, their rendered videos and simulated detections."""
