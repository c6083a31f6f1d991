"""Levels of one vector, from the top down: each a Gaussian given those above it.

Sonderby et al. 2016, "Ladder Variational Autoencoders", arXiv 1602.02282: posterior and prior go through the
levels in the same order, p(z_1) p(z_2 | z_1) ... and q(z_1 | x) q(z_2 | x, z_1) ...
"""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_VARIANCE_RANGE = (-8.0, 4.0)
"""exp(-8) = .02^2: 4 nats a dimension, and where a prior is as narrow the KL to it stays finite."""

Statistics = tuple[Tensor, Tensor]
"""Means and log-variances of diagonal Gaussians."""


def level_sizes(dimension: int, levels: int) -> list[int]:
    """Dimensions of each level of a vector of size `dimension`: equal, the first ones larger by one."""
    size, more = divmod(dimension, levels)
    return [size + (number < more) for number in range(levels)]


@final
class TopDown(nn.Module):
    """What the levels above add to the statistics of each level below the first.

    At the start it adds nothing.

    Args:
        dimension: size D of all levels together.
        levels: how many, L.
        width: hidden units for each level.
    """

    def __init__(self, dimension: int, levels: int, width: int) -> None:
        super().__init__()
        self.sizes = level_sizes(dimension, levels)
        self.starts = [sum(self.sizes[:number]) for number in range(levels)]
        self.above = nn.ModuleList([nn.Linear(start, width) for start in self.starts[1:]])
        self.below = nn.ModuleList([nn.Linear(width, 2 * size) for size in self.sizes[1:]])
        for last in self.below:
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def at(self, z: Tensor, base: Statistics, context: Tensor | None = None) -> Statistics:
        """Statistics [..., D] of each level given what `z` [..., D] is above it: all levels at once.

        Args:
            z: vectors.
            base: statistics before the levels above are looked at, each broadcastable to z.
            context: what else the hidden units are told, broadcastable to [..., L - 1, width].
        """
        with torch.autocast(z.device.type, enabled=False):
            found = [self._level(n, z, base, context) for n in range(len(self.sizes))]
        means, log_variances = zip(*found, strict=True)
        return _whole(means), _whole(log_variances)

    def draw(
        self, noise: Tensor, base: Statistics, context: Tensor | None = None
    ) -> tuple[Tensor, Statistics]:
        """Vectors [..., D] of standard normal noise [..., D], level after level, and their statistics.

        Arguments are those of `at`.
        """
        z, means, log_variances = noise[..., :0], [], []
        with torch.autocast(noise.device.type, enabled=False):
            for number, own in enumerate(torch.split(noise, self.sizes, -1)):
                mean, log_variance = self._level(number, z, base, context)
                z = torch.cat([z, mean + torch.exp(0.5 * log_variance) * own], -1)
                means.append(mean)
                log_variances.append(log_variance)
        return z, (_whole(means), _whole(log_variances))

    def _level(
        self, number: int, z: Tensor, base: Statistics, context: Tensor | None
    ) -> Statistics:
        """Statistics of one level given what is in `z` before it."""
        start = self.starts[number]
        own = slice(start, start + self.sizes[number])
        mean, log_variance = base[0][..., own], base[1][..., own]
        if number:
            hidden = self.above[number - 1](z[..., :start])
            if context is not None:
                hidden = hidden + context[..., number - 1, :]
            more = self.below[number - 1](F.silu(hidden))
            mean, log_variance = mean + more.chunk(2, -1)[0], log_variance + more.chunk(2, -1)[1]
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)


def _whole(levels: "list[Tensor] | tuple[Tensor, ...]") -> Tensor:
    """Levels side by side: the first does not depend on z and may have fewer rows."""
    rows = levels[-1].shape[:-1]
    return torch.cat([level.expand(*rows, level.shape[-1]) for level in levels], -1)
