"""Synthetic close interactions: key poses of two people that touch, and motion that leads to them and away."""
