"""2D keypoint sequences to a first 3D motion of each person alone."""
