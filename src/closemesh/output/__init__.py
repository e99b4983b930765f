"""Everything a run leaves: result files, meshes, pictures and films."""
