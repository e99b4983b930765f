"""Model files: where they are stored, their manifest, and their download."""
