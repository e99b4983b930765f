"""The body: skeleton, SMPL-X-layout model, skinning and keypoints, one door for the open and the licensed body."""
