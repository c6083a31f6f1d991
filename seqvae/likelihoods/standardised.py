"""Densities of real frames: of standardised bins, each with a learned or a fixed scale."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from seqvae.errors import UserError
from seqvae.likelihoods.frame_likelihood import FrameLikelihood, Statistics, statistics

# Of the standardised frames. Below the first the density of a frame that is hit exactly has no bound worth
# learning; above the second a bin's spread is 7 times that of the corpus.
LOG_SCALE_RANGE = (-4.0, 2.0)

# A trained model's errors are about exp(-1.3) deviations; the scale would take 1000 steps to come from 1.
FIRST_LOG_SCALE = -1.0


class StandardisedLikelihood(FrameLikelihood):
    """p(x_t | state_t) of real frames, with a location for every state and a scale for every bin.

    Nats are those of the standardised frames, (x - mean) / std with the corpus' statistics by bin, so
    that a bin's loudness does not decide what it costs.

    Args:
        width: size of the decoder's states.
        mels: bins F.
        mean: of each bin over the corpus, [F]; None: zeros (weights will be loaded).
        std: its standard deviation over the corpus [F]; None: ones.
        scale: of every bin, in deviations of the corpus; None: learned, one of each.
    """

    std_of_bins: Tensor

    def __init__(
        self,
        width: int,
        mels: int,
        mean: Statistics = None,
        std: Statistics = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.width, self.mels = width, mels
        self.register_buffer("mean_of_bins", statistics(mean, mels, 0.0))
        self.register_buffer("std_of_bins", statistics(std, mels, 1.0))
        self.output = nn.Linear(width, mels)
        first = FIRST_LOG_SCALE if scale is None else math.log(scale)
        log_scale = torch.full((mels,), first)
        if scale is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @abstractmethod
    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """-log density in nats of errors [..., F] of standardised bins, for log-scales [F]."""

    @abstractmethod
    def error_quantile(self, probability: Tensor) -> Tensor:
        """The quantiles of errors of scale 1, at probabilities of any shape."""

    @property
    def log_units(self) -> float:
        """See `FrameLikelihood.log_units`: sum_f log std_f."""
        return float(self.std_of_bins.double().log().sum())

    def embed(self, values: Tensor) -> Tensor:
        """See `Likelihood.embed`; frames [B, T, F] to standardised frames [B, T, F]."""
        return (values - self.mean_of_bins) / self.std_of_bins

    def predicted(self, hidden: Tensor) -> Tensor:
        """Standardised frames [B, T, F] that states [B, T, width] stand for, float32."""
        out: Tensor = self.output(hidden)
        return out.float()

    def mean(self, hidden: Tensor) -> Tensor:
        """See `FrameLikelihood.mean`."""
        return self.predicted(hidden) * self.std_of_bins + self.mean_of_bins

    def quantile(self, hidden: Tensor, probability: Tensor) -> Tensor:
        """See `FrameLikelihood.quantile`."""
        error = self.error_quantile(probability.float()) * torch.exp(self._bounded())
        return (self.predicted(hidden) + error) * self.std_of_bins + self.mean_of_bins

    def nll_bins(self, hidden: Tensor, values: Tensor) -> Tensor:
        """See `FrameLikelihood.nll_bins`."""
        error = self.embed(values.float()) - self.predicted(hidden)
        return self.cost(error, self._bounded())

    def _bounded(self) -> Tensor:
        """Log-scales [F]."""
        return self.log_scale.float().clamp(*LOG_SCALE_RANGE)


def check_scale(name: str, scale: float | None) -> None:
    """Raise a UserError unless a fixed scale lies in the range of the learned ones."""
    least, most = (math.exp(end) for end in LOG_SCALE_RANGE)
    if scale is not None and not least <= scale <= most:
        raise UserError(
            f"{name} scale: {scale} is not from {least:.3f} to {most:.2f} deviations of the corpus; 1 is "
            "the squared or absolute error itself"
        )
