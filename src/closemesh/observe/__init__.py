"""What is seen in the images: detection, keypoints, tracking over time, masks, who is close to whom."""
