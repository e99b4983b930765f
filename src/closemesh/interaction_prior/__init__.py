"""Stage `refine`: pairs of people under the interaction prior."""
