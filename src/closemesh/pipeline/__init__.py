"""The story and its cache."""
