"""Images without OpenGL."""
