"""An exponential moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Keeps `average = decay * average + (1 - decay) * weight` beside a model.

    Args:
        model: whose weights and buffers are averaged.
        decay: weight of the past; the first steps use less, so that the start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (1 for the first)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - keep)
            else:
                self.values[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the averages inside the `with` block."""
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.values)
        try:
            yield
        finally:
            self.model.load_state_dict(own)

    def restart(self, prefix: str) -> None:
        """Forget the past of the weights whose names begin with `prefix`."""
        for name, value in self.model.state_dict().items():
            if name.startswith(prefix):
                self.values[name].copy_(value)

    def load(self, values: dict[str, Tensor]) -> None:
        """Restore `values` from a checkpoint."""
        for name, value in values.items():
            self.values[name].copy_(value)
