"""The fit of body parameters to keypoints: objective, optimizer, hands and jaw."""
