"""Rendering on the CPU, without OpenGL."""
