"""Readers of data sets: recordings of people in interaction and motion capture files."""
