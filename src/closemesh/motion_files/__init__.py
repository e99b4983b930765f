"""Motion of single sequences, any skeleton."""
