"""Stage `optimise`: the joint optimization of all people with floor, contact and appearance."""
