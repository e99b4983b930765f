"""Synthesis of motion windows of two people in contact."""
