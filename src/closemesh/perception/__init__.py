"""Stage `observe`: people, keypoints and masks from the frames of a clip."""
