"""Masks: label images, and the networks that make them."""
