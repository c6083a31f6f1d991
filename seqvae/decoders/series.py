"""Decoders from one vector to a sequence of frames: all at once, or each given those before it."""

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from seqvae.batch import padding_mask
from seqvae.decoders.decoder import Decoder
from seqvae.decoders.film_conv import FilmConvDecoder

PLACES = 32
"""Size of the vectors that tell the convolutions where in the sequence they are."""
FILM_STRIDE = 2
"""Frames for one of them."""


class SeriesDecoder(nn.Module, ABC):
    """Network from one vector a sequence to a state for every frame.

    Attributes:
        width: size of the states.
        autoregressive: whether state t has read the frames before t; else it follows from the vector and t.
        longest: most frames.
    """

    width: int
    autoregressive: bool
    longest: int

    @abstractmethod
    def forward(self, x: Tensor, z: Tensor | None, lengths: Tensor) -> Tensor:
        """States of every frame, of which state t is for frame t.

        Args:
            x: embedded frames, shape [B, T, F].
            z: vectors, shape [B, D], or None for an autoregressive decoder that was built without.
            lengths: valid frames of each row, shape [B].

        Returns:
            States, shape [B, T, width]; padding has no influence on the valid ones.
        """


@final
class StepSeries(SeriesDecoder):
    """A decoder of steps, which reads the frames before each, or only how many they are.

    Args:
        decoder: the network.
        features: numbers F of an embedded frame.
        longest: most frames.
        autoregressive: whether it reads the frames.
    """

    def __init__(
        self, decoder: Decoder, features: int, longest: int, *, autoregressive: bool
    ) -> None:
        super().__init__()
        self.decoder, self.width, self.longest = decoder, decoder.width, longest
        self.autoregressive = autoregressive
        self.input: nn.Linear | None = None
        if autoregressive:
            self.input = nn.Linear(features, decoder.width)
        # Of the first frame, before which there is none; or of each, where none is read.
        self.places = nn.Embedding(1 if autoregressive else longest, decoder.width)

    def forward(self, x: Tensor, z: Tensor | None, lengths: Tensor) -> Tensor:
        """See `SeriesDecoder.forward`."""
        rows, frames = x.shape[:2]
        if self.input is None:
            places = self.places.weight[:frames].expand(rows, -1, -1)
        else:
            first = self.places.weight.expand(rows, -1, -1)
            places = torch.cat([first, self.input(x[:, :-1])], 1)
        states: Tensor = self.decoder(places, z)
        return states

    def step(self, last: Tensor | None, state: object, rows: int) -> Tensor:
        """The state [B, width] of the next frame, given the embedded one before it [B, F], None at the start.

        Args:
            last: that frame.
            state: what `Decoder.start` of `decoder` returned; moved on in place.
            rows: B.

        Raises:
            TypeError: it writes all frames at once.
        """
        if self.input is None:
            raise TypeError("this decoder writes all frames at once: call it")
        x = self.places.weight.expand(rows, -1) if last is None else self.input(last)
        return self.decoder.step(x, state)


@final
class FilmSeries(SeriesDecoder):
    """Convolutions over learned places, which the vector scales and shifts in every block.

    Args:
        decoder: the network, of stride `FILM_STRIDE` and content [B, T', `PLACES`].
        longest: most frames.
    """

    autoregressive = False

    def __init__(self, decoder: FilmConvDecoder, longest: int) -> None:
        super().__init__()
        self.decoder, self.width, self.longest = decoder, decoder.width, longest
        self.places = nn.Embedding(-(-longest // FILM_STRIDE), PLACES)

    def forward(self, x: Tensor, z: Tensor | None, lengths: Tensor) -> Tensor:
        """See `SeriesDecoder.forward`.

        Raises:
            ValueError: there is no vector.
        """
        if z is None:
            raise ValueError("this decoder knows a sequence by its vector alone")
        rows, frames = x.shape[:2]
        count = -(-frames // FILM_STRIDE)
        places = self.places.weight[:count].expand(rows, -1, -1)
        real = padding_mask(-(-lengths // FILM_STRIDE), count)
        states: Tensor = self.decoder(places * real[..., None], z, frames, None, lengths)
        return states
