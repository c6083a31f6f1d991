"""`Latent`: one latent level of a model, and the names that levels have."""

from typing import Literal

import torch
from torch import Tensor, nn

from seqvae.encoders import Encoder, FrameEncoder
from seqvae.nn.conv import shortened
from seqvae.nn.ladder import level_sizes
from seqvae.posteriors import FrameGaussian, Posterior, PosteriorNetwork
from seqvae.priors import Prior

LEVEL = "sequence"
"""The only level of a text model."""
STYLE, CONTENT = "style", "content"
"""The levels of a speech model: one vector for all frames, over one every few frames."""
PITCH = "pitch"
"""What a speech model's reader of pitch costs among the penalties."""

Scope = Literal["sequence", "frame"]


class Latent(nn.Module):
    """One latent level: who infers it and what is expected of it before anything is seen.

    Args:
        encoder: reads the sequence.
        posterior: q(z | x) from the encoder's summary.
        prior: p(z).
        embedding: the encoder's own, from values [B, T] to vectors; None: it reads the likelihood's.
        scope: one vector for the whole sequence, or one every `encoder.stride` frames.
    """

    def __init__(
        self,
        encoder: Encoder | FrameEncoder,
        posterior: PosteriorNetwork,
        prior: Prior,
        embedding: nn.Module | None = None,
        scope: Scope = "sequence",
    ) -> None:
        super().__init__()
        self.encoder, self.posterior, self.prior = encoder, posterior, prior
        self.embedding = embedding
        self.scope = scope

    @property
    def dimension(self) -> int:
        """Size D of z."""
        return self.posterior.dimension

    @property
    def sizes(self) -> list[int]:
        """Dimensions of each part of z that is inferred or expected given those before it; [D] for most."""
        return level_sizes(self.dimension, max(self.posterior.levels, self.prior.levels))

    def by_level(self, name: str, kl_dimensions: Tensor) -> dict[str, Tensor]:
        """KL [B, D] of this level, called `name`, split into `name`_1, `name`_2, ... where z has parts."""
        if len(self.sizes) == 1 or kl_dimensions.shape[1] != self.dimension:
            return {name: kl_dimensions}
        parts = torch.split(kl_dimensions, self.sizes, 1)
        return {f"{name}_{number}": part for number, part in enumerate(parts, 1)}

    def infer(self, x: Tensor, lengths: Tensor | None) -> Posterior:
        """q(z | x) of embedded values [B, T, E]."""
        summary = self.encoder(x, lengths)
        if self.scope == "sequence":
            posterior: Posterior = self.posterior(summary)
            return posterior
        assert isinstance(self.encoder, FrameEncoder)
        return self.posterior.frames(summary, shortened(lengths, self.encoder.stride))

    def log_ratio(
        self, posterior: Posterior, z: Tensor, prior: Prior | None = None, *, score: bool = True
    ) -> Tensor:
        """log p(z) - log q(z | x) in nats, shape [S, B], of samples of the posterior.

        Args:
            posterior: q(z | x).
            z: samples, [S, B, D].
            prior: that of each row, where a label says more; None: the level's.
            score: whether the gradient holds that of log q(z | x) in what q is made of, at fixed z. Without
                it the encoder learns from log q(z | x) through z alone.
        """
        log_p = (self.prior if prior is None else prior).log_prob(z)
        if isinstance(posterior, FrameGaussian):
            log_p = posterior.total(log_p)
        log_q = posterior.log_prob(z)
        if not score:
            # Taken away, not computed without: densities of a flow depend on weights that all x share.
            at_fixed_z = posterior.log_prob(z.detach())
            log_q = log_q - (at_fixed_z - at_fixed_z.detach())
        return log_p - log_q
