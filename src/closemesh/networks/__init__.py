"""Layers and checkpoints shared by all learned parts."""
