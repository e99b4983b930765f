"""Writers and readers of the result files."""
