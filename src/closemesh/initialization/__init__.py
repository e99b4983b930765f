"""Stage `initialise`: camera and a first motion of each person alone."""
