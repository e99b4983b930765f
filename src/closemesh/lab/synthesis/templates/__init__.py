"""Templates of interactions and postures."""
