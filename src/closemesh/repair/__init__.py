"""Edits of a result by its user, the file that has them, and their application to observations."""
