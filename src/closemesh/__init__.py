"""closemesh: video of people in close contact to SMPL-X motion and meshes, with the contact kept."""

__version__ = "0.1.0"
