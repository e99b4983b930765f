"""Metrics against ground truth, and the benchmarks that report them."""
