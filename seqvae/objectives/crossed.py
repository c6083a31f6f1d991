"""How probable the z of each sequence is under the posterior of every other one of its batch."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqvae.posteriors import Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian


@dataclass(frozen=True)
class Crossed:
    """Log-densities in nats by dimension, float32, of one sample of each sequence's posterior.

    Attributes:
        log_q: log q(z_d | x) of the z of row i given the x of row j, shape [B, B, D].
        log_prior: log p(z_d) of a standard normal, shape [B, D].
    """

    log_q: Tensor
    log_prior: Tensor

    @property
    def own(self) -> Tensor:
        """log q(z | x) of each z given its own x, shape [B]."""
        return self.log_q.diagonal().sum(0)

    def aggregate(self, sequences: int) -> tuple[Tensor, Tensor]:
        """log q(z), shape [B], and log q(z_d), shape [B, D], of the aggregate posterior over all sequences.

        q(z) = 1/N sum_n q(z | x_n), of which a batch has its own x, whose weight 1/N is known, and a sample
        of the others, whose mean stands for them: without bias in q(z) for batches drawn without
        replacement (as the stratified sampling of Chen et al. 2018, arXiv 1802.04942, appendix C.1), exact
        where the batch is all there is. Their logarithms are low on average.

        Args:
            sequences: N; at least that of the batch is taken.
        """
        rows = len(self.log_q)
        number = max(sequences, rows)
        weights = torch.full((rows, rows), -math.inf, device=self.log_q.device)
        if rows > 1:
            weights = weights.fill_(math.log((number - 1) / number / (rows - 1)))
        weights = weights.fill_diagonal_(-math.log(number) if rows > 1 else 0.0)
        whole = (self.log_q.sum(-1) + weights).logsumexp(1)
        return whole, (self.log_q + weights[..., None]).logsumexp(1)


def crossed_of(posterior: Posterior, z: Tensor) -> Crossed:
    """Of samples `z` [S, B, D] of a posterior under a standard prior; the first of each is taken.

    Raises:
        TypeError: the posterior is not a diagonal Gaussian: it has no densities by dimension.
    """
    if not isinstance(posterior, DiagonalGaussian):
        raise TypeError(f"no densities by dimension of {type(posterior).__name__} posteriors")
    own = z[0]
    squared = (own[:, None] - posterior.location).square() * torch.exp(-posterior.log_variance)
    constant = math.log(2 * math.pi)
    return Crossed(
        -0.5 * (squared + posterior.log_variance + constant), -0.5 * (own.square() + constant)
    )
