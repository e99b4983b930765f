"""Bodies with the SMPL-X layout: files, skeleton, skinning, landmarks and motion."""
