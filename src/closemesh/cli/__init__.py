"""One thin module per command; nothing heavy at import time."""
