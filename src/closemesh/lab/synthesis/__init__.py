"""Generated windows of people in contact."""
