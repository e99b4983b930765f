"""The fit engine that stages share."""
