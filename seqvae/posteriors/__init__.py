"""Posteriors. A new one: one file here and one line in `PosteriorChoice`."""

from seqvae.posteriors.frames import FrameGaussian
from seqvae.posteriors.gaussian import Gaussian
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork

PosteriorChoice = Gaussian

__all__ = ["FrameGaussian", "Gaussian", "Posterior", "PosteriorChoice", "PosteriorNetwork"]
