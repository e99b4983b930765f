"""Contact between meshes: trees of faces, winding numbers, distances, pairs of vertices and contact records."""
