"""Fixtures of two moving people."""

from dancing_pair import dance, make_dance, observations  # noqa: F401
