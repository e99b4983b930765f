"""Keypoints of one person: crop networks, fusion, left-right flips, uncertainty."""
