"""Stage `refine`: a diffusion prior on the motion of two people, and guidance of its samples."""
