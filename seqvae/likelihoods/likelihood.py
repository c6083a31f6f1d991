"""What a likelihood is: how values enter the networks, and what they cost in nats."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Likelihood(nn.Module, ABC):
    """p(x_t | state_t), and the embedding of x that encoder and decoder read."""

    width: int

    @abstractmethod
    def embed(self, values: Tensor) -> Tensor:
        """Values [B, T] to vectors [B, T, width]."""

    @abstractmethod
    def nll(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood of each sequence, in nats.

        Args:
            hidden: decoder states, shape [B, T - 1, width], of which state t predicts step t + 1;
                for frames [B, T, width], of which state t predicts frame t.
            values: shape [B, T].
            lengths: shape [B]; steps beyond them do not count.

        Returns:
            Summed over steps, shape [B], float32.
        """

    @abstractmethod
    def nll_steps(self, hidden: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """The same per step, shape [B, T - 1] (frames: [B, T]), zero at padding."""
