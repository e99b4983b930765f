"""How people look: Gaussians on their bodies, drawn and differentiated."""
