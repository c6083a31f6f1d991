"""Likelihoods. A new one: one file here and one line in `LikelihoodChoice`."""

from seqvae.likelihoods.categorical import Categorical
from seqvae.likelihoods.frame_likelihood import FrameLikelihood
from seqvae.likelihoods.laplace import Laplace
from seqvae.likelihoods.likelihood import Likelihood
from seqvae.likelihoods.normal import Normal

LikelihoodChoice = Categorical
FrameLikelihoodChoice = Laplace | Normal

__all__ = [
    "Categorical",
    "FrameLikelihood",
    "FrameLikelihoodChoice",
    "Laplace",
    "Likelihood",
    "LikelihoodChoice",
    "Normal",
]
