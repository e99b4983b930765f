"""SMPL-X-layout bodies."""
