"""Model files: where they are, what they are, how to get them."""
