"""Whether the latent carries information: KL, mutual information, active units, prior gap."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqvae.batch import Batch
from seqvae.evaluation.likelihood import elbo, evaluating, sequence_seeds
from seqvae.latent_model import LatentModel
from seqvae.ops import gaussian_latent, uniform
from seqvae.posteriors import FrameGaussian, Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.posteriors.posterior import joined

ACTIVE_VARIANCE = 0.01
# 2**22 float64 log-densities at once: 32 MiB.
_CHUNK_ELEMENTS = 1 << 22
SEQUENTIAL_ROWS = 200
"""Rows over which MI is measured where each pair costs a pass for each dimension: seconds, not minutes."""


@dataclass(frozen=True)
class Collapse:
    """What tells a collapsed latent from a used one. Nats are averages over sequences.

    Attributes:
        kl: KL(q(z | x) || p(z)), nats per sequence.
        kl_by_dimension: the same by latent dimension, shape [D], float32 on the CPU.
        mi: mutual information of x and z under the aggregate of the whole set, nats.
        mi_cap: ln N, which `mi` cannot exceed however informative the latent is.
        marginal_kl: KL(q(z) || p(z)) = kl - mi, how far the aggregate is from the prior, nats.
        au: active units, dimensions whose posterior mean varies over the set.
        dimension: D.
    """

    kl: float
    kl_by_dimension: Tensor
    mi: float
    mi_cap: float
    marginal_kl: float
    au: int
    dimension: int


class Aggregate:
    """Posterior statistics of a set of sequences, gathered batch by batch.

    Example:
        >>> from seqvae.posteriors.gaussian import DiagonalGaussian
        >>> posterior = DiagonalGaussian(torch.zeros(5, 2), torch.zeros(5, 2))
        >>> aggregate = Aggregate()
        >>> aggregate.add(posterior, posterior.kl())
        >>> aggregate.diagnose(seed=0).au
        0
    """

    def __init__(self) -> None:
        self._posteriors: list[Posterior] = []
        self._kl: list[Tensor] = []

    def add(self, posterior: Posterior, kl_dimensions: Tensor) -> None:
        """Take in the posteriors of a batch and their KL to the prior [B, D].

        Raises:
            TypeError: the posterior is over frames.
        """
        if isinstance(posterior, FrameGaussian):
            raise TypeError(f"no aggregate statistics of a {type(posterior).__name__} posterior")
        self._posteriors.append(posterior)
        self._kl.append(kl_dimensions.detach().float().cpu())

    @property
    def means(self) -> Tensor:
        """Posterior means, shape [N, D]."""
        return torch.cat([p.mean.detach().float().cpu() for p in self._posteriors])

    @property
    def posterior(self) -> Posterior:
        """All of them in one."""
        return joined(self._posteriors)

    @property
    def kl_dimensions(self) -> Tensor:
        """KL(q(z | x) || p(z)) in nats, shape [N, D]."""
        return torch.cat(self._kl)

    def diagnose(self, seed: int = 0) -> Collapse:
        """All measures of the set gathered so far; `seed` fixes the samples behind `mi`."""
        by_dimension = kl_by_dimension(self.kl_dimensions)
        kl = float(by_dimension.sum())
        means = self.means
        posterior = self.posterior
        if isinstance(posterior, DiagonalGaussian):
            log_variances = posterior.log_variance.detach().float().cpu()
            mi, cap = mutual_information(means, log_variances, seed)
        else:
            with torch.no_grad():
                mi, cap = mutual_information_of(posterior, seed)
        return Collapse(
            kl=kl,
            kl_by_dimension=by_dimension,
            mi=mi,
            mi_cap=cap,
            marginal_kl=kl - mi,
            au=active_units(means),
            dimension=means.shape[1],
        )


def kl_by_dimension(kl_dimensions: Tensor) -> Tensor:
    """Mean over sequences of KL [N, D], in nats, shape [D]; collapsed dimensions are near zero."""
    return kl_dimensions.double().mean(0).float()


def active_units(means: Tensor, threshold: float = ACTIVE_VARIANCE) -> int:
    """Dimensions whose posterior mean has a variance over sequences of at least `threshold`.

    Burda et al. 2016 (arXiv 1509.00519, sec. 5.2), with N - 1. A latent can have all units active
    and hardly any information: read it beside `mutual_information` and reconstruction.

    Args:
        means: posterior means, shape [N, D].
        threshold: least variance.
    """
    if len(means) < 2:
        return 0
    return int((means.double().var(0) >= threshold).sum())


def mutual_information(means: Tensor, log_variances: Tensor, seed: int = 0) -> tuple[float, float]:
    """Mutual information of sequence and latent under diagonal Gaussian posteriors.

    The mean of log q(z_i | x_i) - log q(z_i) with one z_i ~ q(z | x_i) for each sequence, where
    q(z) = mean_j q(z | x_j) over all N (Hoffman and Johnson 2016; over the whole set as Li et al.
    2019, arXiv 1909.00868). No term can exceed ln N, so a value near the cap says only that the
    sequences are told apart.

    Args:
        means: shape [N, D].
        log_variances: shape [N, D].
        seed: fixes the samples.

    Returns:
        The estimate in nats (below zero by chance when there is no information), and its cap ln N.
    """
    z, _ = gaussian_latent(means, log_variances, torch.tensor([seed], device=means.device))
    z, mean, log_variance = z.double(), means.double(), log_variances.double()
    precision = torch.exp(-log_variance)
    # -2 log q(z | x_j) = sum_d (z - m)^2 / v + log v + ln 2 pi, the square multiplied out so that
    # all pairs are two matrix products; the constant ln 2 pi cancels.
    constant = (mean.square() * precision + log_variance).sum(1)
    right = torch.cat([precision, -2 * mean * precision], 1).t()
    total = 0.0
    size = max(1, _CHUNK_ELEMENTS // len(mean))
    for begin in range(0, len(mean), size):
        part = slice(begin, begin + size)
        pairs = torch.cat([z[part].square(), z[part]], 1) @ right
        log_density = pairs.add_(constant).mul_(-0.5)
        own = log_density.diagonal(begin)
        total += float((own - log_density.logsumexp(1)).sum())
    cap = math.log(len(mean))
    return total / len(mean) + cap, cap


def mutual_information_of(posterior: Posterior, seed: int = 0) -> tuple[float, float]:
    """`mutual_information` under posteriors of any kind, from their densities of all pairs.

    Of a posterior whose density takes a pass for each dimension, over `SEQUENTIAL_ROWS` rows spread evenly:
    the cap is then that of these.
    """
    if posterior.sequential and len(posterior.mean) > SEQUENTIAL_ROWS:
        last = len(posterior.mean) - 1
        posterior = posterior.select(torch.linspace(0, last, SEQUENTIAL_ROWS).round().long())
    rows, dimension = posterior.mean.shape
    z = posterior.sample(torch.tensor([seed], device=posterior.mean.device))[0]
    total, size = 0.0, max(1, _CHUNK_ELEMENTS // (rows * dimension))
    for begin in range(0, rows, size):
        log_density = posterior.log_prob(z[begin : begin + size, None]).double()
        own = log_density.diagonal(begin)
        total += float((own - log_density.logsumexp(1)).sum())
    cap = math.log(rows)
    return total / rows + cap, cap


def mi_batch(
    means: Tensor, log_variances: Tensor, seed: int = 0, batch: int = 32
) -> tuple[float, float]:
    """`mutual_information` within random batches, averaged: what He et al. 2019 print.

    For comparison with tables made that way (arXiv 1901.05534); capped at ln `batch` already.

    Args:
        means: shape [N, D].
        log_variances: shape [N, D].
        seed: fixes batches and samples.
        batch: sequences in each; a remainder is left out.
    """
    batch = min(batch, len(means))
    order = uniform(torch.tensor([seed]), (len(means),)).argsort(stable=True).to(means.device)
    whole = torch.split(order[: len(order) // batch * batch], batch)
    values = [
        mutual_information(means[rows], log_variances[rows], seed + 1 + i)[0]
        for i, rows in enumerate(whole)
    ]
    return sum(values) / len(values), math.log(batch)


def prior_reconstruction(model: LatentModel, batch: Batch, seed: int = 0) -> Tensor:
    """-log p(x | z) in nats with z from the prior instead of the posterior, shape [B].

    Raises:
        ValueError: the model has no latent.
    """
    latent = model.need_latent()
    with evaluating(model):
        device = batch.values.device
        seeds = sequence_seeds(batch, seed, "prior")
        drawn = []
        for row, own in enumerate(seeds):
            prior = model.expected(latent.prior, batch.select(torch.tensor([row], device=device)))
            drawn.append(prior.sample(torch.tensor([own], device=device), 1))
        z = torch.cat(drawn)
        return model.reconstruction(batch, z[None])[0]


def prior_gap(model: LatentModel, batches: Iterable[Batch], seed: int = 0) -> float:
    """Nats per sequence that the decoder loses when z says nothing about the sequence.

    Reconstruction with z from the prior minus with z from the posterior. Zero: the decoder ignores z.

    Raises:
        ValueError: the model has no latent, or there are no sequences.
    """
    gap, count = 0.0, 0
    for batch in batches:
        difference = (
            prior_reconstruction(model, batch, seed) - elbo(model, batch, seed).reconstruction
        )
        gap += float(difference.double().sum())
        count += batch.size
    if not count:
        raise ValueError("no sequences to measure the prior gap on")
    return gap / count
