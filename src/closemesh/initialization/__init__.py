"""Stage `initialise`: the camera, and a first motion of each person without the others."""
