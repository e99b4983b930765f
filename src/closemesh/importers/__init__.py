"""Other tools' results as first motion."""
