"""Network layers and checkpoints that all learned parts share."""
