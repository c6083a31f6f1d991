"""Likelihoods. A new one: one file here and one line in `LikelihoodChoice`."""

from seqvae.likelihoods.categorical import Categorical
from seqvae.likelihoods.likelihood import Likelihood

LikelihoodChoice = Categorical

__all__ = ["Categorical", "Likelihood", "LikelihoodChoice"]
