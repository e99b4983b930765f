"""Exact mesh queries."""
