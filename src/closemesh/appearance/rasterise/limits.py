"""What all back ends agree on; the values are those of gsplat."""

MAX_ALPHA = 0.999  # A Gaussian lets at least a thousandth of what is behind it through.
MIN_ALPHA = 1 / 255  # Fainter than this it draws nothing.
MIN_TRANSMITTANCE = 1e-4  # A pixel ends before the Gaussian that would let no more than this through.
BLUR = 0.3  # Pixels squared, added to the covariance in the image: no Gaussian slips between the pixels.
NEAR = 0.05  # Metres; what is nearer to the camera than this is not drawn.
