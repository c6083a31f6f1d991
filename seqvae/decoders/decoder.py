"""What a decoder is: states from the steps so far and the latent."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Decoder(nn.Module, ABC):
    """Autoregressive network over embedded steps, conditioned on z (or on nothing)."""

    width: int

    @abstractmethod
    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """All states at once, given the true steps.

        Args:
            x: embedded inputs, shape [B, T, width].
            z: latent vectors, shape [B, D], or None for a language model.

        Returns:
            States, shape [B, T, width]; state t depends on steps <= t only.
        """

    @abstractmethod
    def start(self, z: Tensor | None, batch: int, capacity: int) -> Any:  # noqa: ANN401
        """Streaming state before the first step, for `batch` rows and up to `capacity` steps."""

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> Tensor:  # noqa: ANN401
        """Advance `state` in place by one embedded step [B, width]; returns its state."""

    @abstractmethod
    def select(self, state: Any, rows: Tensor) -> None:  # noqa: ANN401
        """Keep (and repeat) rows of a streaming state, in place."""
