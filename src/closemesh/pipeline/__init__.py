"""The stages in order, and the cache of their results."""
