"""What a likelihood of frames is: standardised bins, each with a learned scale."""

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.likelihoods.likelihood import Likelihood

# Of the standardised frames. Below the first the density of a frame that is hit exactly has no bound worth
# learning; above the second a bin's spread is 7 times that of the corpus.
LOG_SCALE_RANGE = (-4.0, 2.0)

# A trained model's errors are about exp(-1.3) deviations; the scale would take 1000 steps to come from 1.
FIRST_LOG_SCALE = -1.0

Statistics = npt.NDArray[np.floating] | None


class FrameLikelihood(Likelihood):
    """p(x_t | state_t) of log-mel frames: bins are independent, each has a learned scale.

    Nats are those of the standardised frames, (x - mean) / std with the corpus' statistics by bin, so
    that a bin's loudness does not decide what it costs.

    Args:
        width: size of the decoder's states.
        mels: bins F.
        mean: of each bin over the corpus, natural log-mel [F]; None: zeros (weights will be loaded).
        std: its standard deviation over the corpus [F]; None: ones.
    """

    mean_of_bins: Tensor
    std_of_bins: Tensor

    def __init__(
        self, width: int, mels: int, mean: Statistics = None, std: Statistics = None
    ) -> None:
        super().__init__()
        self.width, self.mels = width, mels
        self.register_buffer("mean_of_bins", _statistics(mean, mels, 0.0))
        self.register_buffer("std_of_bins", _statistics(std, mels, 1.0))
        self.output = nn.Linear(width, mels)
        self.log_scale = nn.Parameter(torch.full((mels,), FIRST_LOG_SCALE))

    @abstractmethod
    def cost(self, error: Tensor, log_scale: Tensor) -> Tensor:
        """-log density in nats of errors [..., F] of standardised bins, for log-scales [F]."""

    def embed(self, values: Tensor) -> Tensor:
        """See `Likelihood.embed`; natural log-mel [B, T, F] to standardised frames [B, T, F]."""
        return (values - self.mean_of_bins) / self.std_of_bins

    def predicted(self, hidden: Tensor) -> Tensor:
        """Standardised frames [B, T, F] that states [B, T, width] stand for, float32."""
        out: Tensor = self.output(hidden)
        return out.float()

    def mean(self, hidden: Tensor) -> Tensor:
        """Natural log-mel frames [B, T, F] that states [B, T, width] stand for, float32."""
        return self.predicted(hidden) * self.std_of_bins + self.mean_of_bins

    def nll_steps(self, hidden: Tensor, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Likelihood.nll_steps`; [B, T], a state for every frame."""
        error = self.embed(values.float()) - self.predicted(hidden)
        log_scale = self.log_scale.float().clamp(*LOG_SCALE_RANGE)
        steps = self.cost(error, log_scale).sum(-1)
        if lengths is None:
            return steps
        return torch.where(padding_mask(lengths, steps.shape[1]), steps, 0.0)

    def nll(self, hidden: Tensor, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Likelihood.nll`; a state for every frame, all of them valid without `lengths`."""
        return self.nll_steps(hidden, values, lengths).sum(1)


def _statistics(values: Statistics, mels: int, default: float) -> Tensor:
    if values is None:
        return torch.full((mels,), default)
    found = torch.as_tensor(values, dtype=torch.float32).clone()
    if found.shape != (mels,):
        raise ValueError(f"statistics must be [{mels}], one of each bin; got {tuple(found.shape)}")
    return found
