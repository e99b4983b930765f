"""Everybody together: on one floor, out of each other, in touch where they touch."""
