"""Measurements: how fast and how well closemesh works."""
