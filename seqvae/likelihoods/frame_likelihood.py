"""What a likelihood of frames is: bins are independent given the decoder's state."""

from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqvae.batch import padding_mask
from seqvae.likelihoods.likelihood import Likelihood

Statistics = npt.NDArray[np.floating] | None


class FrameLikelihood(Likelihood):
    """p(x_t | state_t) = prod_f p(x_tf | state_t), of frames [F] of numbers.

    Attributes:
        mean_of_bins: of the corpus, [F].
    """

    mean_of_bins: Tensor

    @property
    def log_units(self) -> float:
        """What a frame costs more, in nats, as a density of the data's own numbers instead of standardised ones."""
        return 0.0

    @abstractmethod
    def mean(self, hidden: Tensor) -> Tensor:
        """Frames [B, T, F] that states [B, T, width] stand for, as the data has them, float32."""

    @abstractmethod
    def quantile(self, hidden: Tensor, probability: Tensor) -> Tensor:
        """The values below which a bin lies with a probability from 0 to 1; of uniform draws, draws.

        Args:
            hidden: states [B, T, width].
            probability: shape [B, T, F].

        Returns:
            Frames [B, T, F] as the data has them, float32.
        """

    @abstractmethod
    def nll_bins(self, hidden: Tensor, values: Tensor) -> Tensor:
        """-log p of every bin of `values` [B, T, F] in nats, given states [B, T, width], float32."""

    def nll_steps(self, hidden: Tensor, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Likelihood.nll_steps`; [B, T], a state for every frame."""
        steps = self.nll_bins(hidden, values).sum(-1)
        if lengths is None:
            return steps
        return torch.where(padding_mask(lengths, steps.shape[1]), steps, 0.0)

    def nll(self, hidden: Tensor, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """See `Likelihood.nll`; a state for every frame, all of them valid without `lengths`."""
        return self.nll_steps(hidden, values, lengths).sum(1)


def statistics(values: Statistics, bins: int, default: float) -> Tensor:
    """One number of each bin, float32 [F]: `values`, or `default` where weights will be loaded.

    Raises:
        ValueError: they are not one of each bin.
    """
    if values is None:
        return torch.full((bins,), default)
    found = torch.as_tensor(values, dtype=torch.float32).clone()
    if found.shape != (bins,):
        raise ValueError(f"statistics must be [{bins}], one of each bin; got {tuple(found.shape)}")
    return found
