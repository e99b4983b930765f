"""Training, simulation and benchmarks, which need ground truth or data sets; no other package imports it."""
