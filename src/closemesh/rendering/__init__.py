"""Rendering of bodies on the CPU, without OpenGL."""
