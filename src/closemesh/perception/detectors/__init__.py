"""Person detectors and the libraries that run them."""
