"""Loss terms as functions without state; the caller reduces and weights them."""
