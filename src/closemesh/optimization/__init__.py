"""Stage `optimise`: all people jointly, with floor, contact and appearance."""
