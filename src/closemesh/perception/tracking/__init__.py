"""Tracks of people over time and their identities."""
