"""How each bundled model was made; the same commands make it again from a user's data."""
