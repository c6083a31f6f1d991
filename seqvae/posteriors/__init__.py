"""Posteriors. A new one: one file here and one line in `PosteriorChoice`."""

from seqvae.posteriors.frames import FrameGaussian
from seqvae.posteriors.gaussian import Gaussian
from seqvae.posteriors.iaf import Iaf
from seqvae.posteriors.ladder import Ladder
from seqvae.posteriors.low_rank import LowRank
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork
from seqvae.posteriors.vmf import Vmf

PosteriorChoice = Gaussian | LowRank | Iaf | Vmf | Ladder
SpeechPosteriorChoice = Gaussian

__all__ = [
    "FrameGaussian",
    "Gaussian",
    "Iaf",
    "Ladder",
    "LowRank",
    "Posterior",
    "PosteriorChoice",
    "PosteriorNetwork",
    "SpeechPosteriorChoice",
    "Vmf",
]
