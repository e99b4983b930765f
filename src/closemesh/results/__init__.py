"""Views of a finished result."""
