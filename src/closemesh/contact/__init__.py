"""Contact between bodies: closest surface points, crossings, part labels, and what touches what and when."""
