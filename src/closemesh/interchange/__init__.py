"""Files of a finished result for other programs, one module per format."""
