"""Transfer of a motion to another body: the command `export`."""
