"""Transfer of a motion to another body, for the command `export`."""
