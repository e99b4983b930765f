"""Results of other tools as the first motion: one reader for each file format, then our camera and our tracks."""
