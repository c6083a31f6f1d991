"""What an encoder is: embedded sequences in, one summary vector each out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps embedded steps to the vector that the posterior reads."""

    width: int

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Summarise.

        Args:
            x: embedded steps, shape [B, T, E].
            lengths: valid steps of each row, shape [B].

        Returns:
            Summaries, shape [B, width]; padding has no influence on them.
        """
