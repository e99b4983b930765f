"""The command line: one module per command; their bodies import lazily, so that the help is instant."""
