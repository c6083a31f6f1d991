"""How probable a model finds sequences: the ELBO and the importance-weighted bound.

Noise is keyed by what a sequence says, not by where it stands: the result for a sequence is the same
(to float32 rounding) in any batch, in any order and with any `chunk_tokens`. The noise of K samples
begins with that of fewer, so that results for growing K share their samples.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqvae.batch import Batch
from seqvae.latent_model import LatentModel
from seqvae.posteriors import Posterior
from seqvae.posteriors.gaussian import DiagonalGaussian
from seqvae.priors import Prior

CHUNK_TOKENS = 1024
"""Tokens decoded at once: measured fastest on one core, where activations stay in the cache."""
GPU_CHUNK_TOKENS = 1 << 16
"""The same elsewhere: large enough to fill a device."""


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound of a batch, with what it is made of.

    Attributes:
        reconstruction: -log p(x | z) in nats, z one sample of the posterior, shape [B], float32.
        kl_dimensions: KL(q(z | x) || p(z)) in nats, shape [B, D]; D is 0 without a latent, and 1 under
            a prior whose KL is one number (of the same sample, where it has no closed form).
        posterior: q(z | x), None without a latent.
    """

    reconstruction: Tensor
    kl_dimensions: Tensor
    posterior: Posterior | None

    @property
    def kl(self) -> Tensor:
        """KL summed over dimensions, shape [B]."""
        return self.kl_dimensions.sum(1)

    @property
    def nll(self) -> Tensor:
        """-ELBO in nats, an upper bound of -log p(x) on average, shape [B]."""
        return self.reconstruction + self.kl


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off inside, and every module back to its mode afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def elbo(model: LatentModel, batch: Batch, seed: int = 0) -> Elbo:
    """The ELBO of each sequence with one sample of z (exact when the model has no latent).

    Args:
        model: any model; left in the mode it was in.
        batch: sequences on the model's device.
        seed: fixes z.
    """
    with evaluating(model):
        if model.latent is None:
            nothing = torch.zeros(batch.size, 0, device=batch.values.device)
            return Elbo(_exact(model, batch, _chunk_tokens(batch)), nothing, None)
        posterior = _refined(model, batch, seed)
        z = _sample(posterior, sequence_seeds(batch, seed, "posterior"), slice(0, batch.size), 1)
        reconstruction = model.reconstruction(batch, z)[0]
        prior = model.expected(model.latent.prior, batch)
        return Elbo(reconstruction, prior.kl(posterior, z=z), posterior)


def importance_weighted(
    model: LatentModel,
    batch: Batch,
    samples: int = 500,
    seed: int = 0,
    chunk_tokens: int | None = None,
    widen: float = 0.0,
) -> Tensor:
    """-log p(x) of each sequence by importance sampling from its posterior.

    -log mean_k p(x | z_k) p(z_k) / q(z_k | x): an upper bound on average, which falls towards
    -log p(x) as K grows (Burda et al. 2016, arXiv 1509.00519, eq. 8). Exact without a latent.

    Where the encoder reads something else than what is produced (`Batch.source`), its posterior is
    only where samples come from: the result is -log p(values) all the same.

    Args:
        model: any model; left in the mode it was in.
        batch: sequences on the model's device.
        samples: K.
        seed: fixes the samples.
        chunk_tokens: most tokens (padding included) decoded at once, at least one sequence: samples and
            sequences are laid side by side up to it. It bounds the memory and sets the speed, not the
            result. None: what suits the device.
        widen: see `widened`: samples from there estimate the same likelihood.

    Returns:
        Nats per sequence, shape [B], float32.

    Raises:
        ValueError: `samples` or `chunk_tokens` is below 1.
        TypeError: see `widened`.
    """
    priors = [] if model.latent is None else [model.latent.prior]
    return importance_weighted_under(priors, model, batch, samples, seed, chunk_tokens, widen)[0]


def importance_weighted_under(
    priors: Sequence[Prior],
    model: LatentModel,
    batch: Batch,
    samples: int = 500,
    seed: int = 0,
    chunk_tokens: int | None = None,
    widen: float = 0.0,
) -> Tensor:
    """`importance_weighted` under each of several priors, from the same samples: decoded once.

    Returns:
        Nats per sequence, shape [P, B], float32; without a latent [1, B].

    Raises:
        ValueError: `samples` or `chunk_tokens` is below 1.
    """
    chunk_tokens = _chunk_tokens(batch) if chunk_tokens is None else chunk_tokens
    if samples < 1 or chunk_tokens < 1:
        raise ValueError(f"need samples >= 1 and chunk_tokens >= 1, got {samples}, {chunk_tokens}")
    with evaluating(model):
        if model.latent is None:
            return _exact(model, batch, chunk_tokens)[None]
        posterior = widened(_refined(model, batch, seed), widen)
        seeds = sequence_seeds(batch, seed, "posterior")
        nll = torch.empty(len(priors), batch.size, device=batch.values.device)
        for rows in _groups(batch, chunk_tokens // samples):
            part, proposal = _rows(batch, rows), posterior.select(rows)
            if posterior.sequential:
                z, log_q = _sample_with_log_prob(posterior, seeds, rows, samples)
            else:
                z = _sample(posterior, seeds, rows, samples)
                log_q = proposal.log_prob(z)
            chunks = math.ceil(samples * part.values.shape[:2].numel() / chunk_tokens)
            size = math.ceil(samples / min(chunks, samples))
            reconstruction = torch.cat(
                [model.reconstruction(part, z_) for z_ in torch.split(z, size)]
            )
            for prior, found in zip(priors, nll, strict=True):
                log_prior = model.expected(prior, part).log_prob(z)
                log_weight = log_prior - log_q - reconstruction
                found[rows] = math.log(samples) - log_weight.logsumexp(0)
        return nll


def widened(posterior: Posterior, nats: float) -> Posterior:
    """Posteriors whose log-variances are raised by `nats`, but not above 0: what samples are drawn from.

    Where nothing in training asks a posterior to be as wide as the true one, as in a Wasserstein autoencoder,
    it is too narrow: its samples miss most of p(x, z), and the bound stays nats too high for any K.

    Raises:
        TypeError: it is no diagonal Gaussian.
    """
    if not nats:
        return posterior
    if not isinstance(posterior, DiagonalGaussian):
        raise TypeError(f"a {type(posterior).__name__} posterior has no width to change")
    log_variance = posterior.log_variance
    # The standard normal's variance is all there is to find; what is wider already stays.
    highest = log_variance.clamp_min(0.0)
    return DiagonalGaussian(posterior.location, (log_variance + nats).minimum(highest))


def sequence_seeds(batch: Batch, seed: int, stream: str) -> list[int]:
    """A seed for each sequence from what it says, `seed` and the name of a stream of noise.

    Equal sequences share their noise: each of their estimates stays unbiased.
    """
    key = seed.to_bytes(16, "little", signed=True)
    person = stream.encode()
    sides = [(batch.values.cpu().numpy(), batch.lengths.tolist())]
    if batch.source is not None:
        sides.append((batch.encoder_values.cpu().numpy(), batch.encoder_lengths.tolist()))
    seeds = []
    for row in range(batch.size):
        digest = hashlib.blake2b(digest_size=8, key=key, person=person)
        for values, lengths in sides:
            digest.update(values[row, : lengths[row]].tobytes())
        seeds.append(int.from_bytes(digest.digest(), "little", signed=True))
    return seeds


def _refined(model: LatentModel, batch: Batch, seed: int) -> Posterior:
    """The posteriors that the bounds are of, refined where the model does so, on noise of their own."""
    if model.refine is None:
        return model.encode(batch)
    seeds = sequence_seeds(batch, seed, "refine")
    return model.refined(batch, lambda q: _sample(q, seeds, slice(0, batch.size), 1))


def _sample(posterior: Posterior, seeds: list[int], rows: slice, samples: int) -> Tensor:
    device = posterior.mean.device
    drawn = [
        posterior.select(slice(row, row + 1)).sample(
            torch.tensor([seeds[row]], device=device), samples
        )
        for row in range(rows.start, rows.stop)
    ]
    return torch.cat(drawn, 1)


def _sample_with_log_prob(
    posterior: Posterior, seeds: list[int], rows: slice, samples: int
) -> tuple[Tensor, Tensor]:
    """As `_sample`, and the log-densities [S, B]."""
    device = posterior.mean.device
    drawn = [
        posterior.select(slice(row, row + 1)).sample_with_log_prob(
            torch.tensor([seeds[row]], device=device), samples
        )
        for row in range(rows.start, rows.stop)
    ]
    return torch.cat([z for z, _ in drawn], 1), torch.cat([log_q for _, log_q in drawn], 1)


def _chunk_tokens(batch: Batch) -> int:
    return CHUNK_TOKENS if batch.values.device.type == "cpu" else GPU_CHUNK_TOKENS


def _exact(model: LatentModel, batch: Batch, chunk_tokens: int) -> Tensor:
    parts = [_rows(batch, rows) for rows in _groups(batch, chunk_tokens)]
    return torch.cat([model.reconstruction(part, None)[0] for part in parts])


def _groups(batch: Batch, tokens: int) -> Iterator[slice]:
    """Neighbouring rows with up to `tokens` values together, at least one row."""
    size = max(1, tokens // batch.values.shape[1])
    for begin in range(0, batch.size, size):
        yield slice(begin, min(begin + size, batch.size))


def _rows(batch: Batch, rows: slice) -> Batch:
    """Some rows, cut to the longest of them."""
    lengths = batch.lengths[rows]
    labels = None if batch.labels is None else batch.labels[rows]
    known = None if batch.attributes is None else batch.attributes[rows]
    return Batch(batch.values[rows, : int(lengths.max())], lengths, labels, attributes=known)
