"""The interaction prior: two people's motion as one state, a diffusion over it, and what guides it (CloseInt)."""
