"""What every package may import; knows nothing of bodies or cameras."""
