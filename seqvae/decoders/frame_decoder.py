"""What a frame decoder is: all states at once, from content vectors and one condition."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class FrameDecoder(nn.Module, ABC):
    """Network from a frame-level latent and a condition per sequence to a state for every frame."""

    width: int

    @abstractmethod
    def forward(
        self,
        content: Tensor,
        condition: Tensor,
        frames: int,
        pitch: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """States of every frame.

        Args:
            content: one vector every few frames, shape [B, T', D]; zero at padding.
            condition: one vector a sequence, shape [B, C].
            frames: T, at most T' * stride.
            pitch: of every frame, shape [B, T, 3], see
                `seqvae.data.speech.pitch.pitch_contour`; None where the decoder was
                built to do without.
            lengths: valid frames of each row, shape [B]; None: all are.

        Returns:
            States, shape [B, T, width]; padding has no influence on the valid ones.
        """
