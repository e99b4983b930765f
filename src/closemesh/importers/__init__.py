"""Other tools' results as the first motion."""
