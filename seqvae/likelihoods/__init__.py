"""Likelihoods. A new one: one file here and one line in `LikelihoodChoice`."""

from seqvae.likelihoods.bernoulli import Bernoulli
from seqvae.likelihoods.categorical import Categorical
from seqvae.likelihoods.frame_likelihood import FrameLikelihood
from seqvae.likelihoods.laplace import Laplace
from seqvae.likelihoods.likelihood import Likelihood
from seqvae.likelihoods.normal import Normal

LikelihoodChoice = Categorical
FrameLikelihoodChoice = Laplace | Normal
SeriesLikelihoodChoice = FrameLikelihoodChoice | Bernoulli
"""Of frames that are no sound: `Bernoulli` for those from 0 to 1."""

__all__ = [
    "Bernoulli",
    "Categorical",
    "FrameLikelihood",
    "FrameLikelihoodChoice",
    "Laplace",
    "Likelihood",
    "LikelihoodChoice",
    "Normal",
    "SeriesLikelihoodChoice",
]
