"""Import of other tools' results as the first motion."""
