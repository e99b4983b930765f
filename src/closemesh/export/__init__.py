"""A finished result on another body: rotations copied, then shape, pose and contact fitted again."""
