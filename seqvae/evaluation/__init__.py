"""How good a model is, and whether its latent carries information."""
