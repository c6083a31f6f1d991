"""What a frame encoder is: frames in, one summary vector every few frames out."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class FrameEncoder(nn.Module, ABC):
    """Maps frames to the vectors that the posterior of a frame-level latent reads."""

    width: int
    stride: int
    """Frames for one latent."""

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Summarise every `stride` frames.

        Args:
            x: frames, shape [B, T, F].
            lengths: valid frames of each row, shape [B]; None: all are.

        Returns:
            Summaries, shape [B, T', width] with T' = ceil(T / stride); padding has no influence on the
            valid ones, of which a row has ceil(length / stride).
        """
