"""The command line: one small module per group of commands, with no heavy import at start."""
