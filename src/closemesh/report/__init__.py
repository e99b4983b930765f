"""The report of a result: one HTML page with the animated scene, the contacts and the doubts, for any browser."""
