"""Weight files: where they are looked for and what is known about them."""
