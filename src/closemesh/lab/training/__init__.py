"""Training of the bundled networks, and its data."""
