"""Recordings and mocap files."""
