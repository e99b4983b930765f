"""Made-up recordings of known motion: cameras, films, and detections whose errors follow the real detector's."""
