"""Inverse autoregressive flow: a posterior of any shape, drawn in one pass.

Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow", arXiv 1606.04934.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.nn.autoregressive import Autoregressive
from seqvae.ops import normal
from seqvae.posteriors.gaussian import LOG_VARIANCE_RANGE
from seqvae.posteriors.posterior import Posterior, PosteriorNetwork

OPEN = 2.0
"""Added to the gates before the sigmoid: they begin at .88, so that each step begins near the identity
(the paper has 1 or 2, sec. 4)."""


class GatedStep(nn.Module):
    """One step of the flow, in the numerically stable form of the paper's eq. 13 and 14.

    y = gate * x + (1 - gate) * m with gate = sigmoid(s + 2): m and s of a dimension see the dimensions of x
    before it, and |y| never grows beyond what m and x are.
    """

    def __init__(self, dimension: int, width: int, context: int, *, reverse: bool) -> None:
        super().__init__()
        self.net = Autoregressive(dimension, width, context, reverse=reverse)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """From x [..., B, D] to y, and log |dy / dx| [..., B]; contexts are [B, C]."""
        m, s = self.net(x, context)
        gate = torch.sigmoid(s + OPEN)
        # sigmoid and its logarithm of the same number: neither overflows, whatever s is.
        return gate * x + torch.sigmoid(-s - OPEN) * m, F.logsigmoid(s + OPEN).sum(-1)

    def inverse(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """From y [..., B, D] back to x, and log |dy / dx| [..., B]: a pass for each dimension."""
        x = torch.zeros_like(y)
        for d in self.net.order.tolist():
            m, s = self.net(x, context)
            found = (y[..., d] - torch.sigmoid(-s[..., d] - OPEN) * m[..., d]) / torch.sigmoid(
                s[..., d] + OPEN
            )
            # Not in place: the passes before are needed for the gradient.
            x = torch.cat([x[..., :d], found[..., None], x[..., d + 1 :]], -1)
        _, s = self.net(x, context)
        return x, F.logsigmoid(s + OPEN).sum(-1)


@final
@dataclass(frozen=True)
class FlowPosterior(Posterior):
    """A diagonal Gaussian bent by the steps of a flow.

    Attributes:
        location: means of the Gaussian, shape [B, D], float32.
        log_variance: natural log of its variances, shape [B, D], float32.
        context: what the steps are told of each x, shape [B, C], float32.
        center: where the flow takes the Gaussian's mean, shape [B, D].
        steps: of the flow, the first one first.
    """

    location_scale: ClassVar[bool] = False
    sequential: ClassVar[bool] = True

    location: Tensor
    log_variance: Tensor
    context: Tensor
    center: Tensor
    steps: nn.ModuleList

    @property
    def mean(self) -> Tensor:
        """See `Posterior.mean`: `center`, which is within the mass but not its average."""
        return self.center

    def sample(
        self, seed: Tensor, samples: int = 1, noise_scale: float = 1.0, stream: int = 0
    ) -> Tensor:
        """See `Posterior.sample`; the noise is that of the Gaussian."""
        return self._bend(self._base(self._noise(seed, samples, stream) * noise_scale))[0]

    def sample_with_log_prob(
        self, seed: Tensor, samples: int = 1, stream: int = 0
    ) -> tuple[Tensor, Tensor]:
        """See `Posterior.sample_with_log_prob`: in one pass, where `log_prob` takes one a dimension."""
        noise = self._noise(seed, samples, stream)
        z, log_determinant = self._bend(self._base(noise))
        return z, self._base_log_prob(noise) - log_determinant

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Posterior.log_prob`; exact, by undoing the flow dimension by dimension."""
        x = z + torch.zeros_like(self.location)
        log_determinant = torch.zeros((), device=z.device)
        with torch.autocast(z.device.type, enabled=False):
            for step in reversed(self.steps):
                assert isinstance(step, GatedStep)
                x, more = step.inverse(x, self.context)
                log_determinant = log_determinant + more
        noise = (x - self.location) * torch.exp(-0.5 * self.log_variance)
        return self._base_log_prob(noise) - log_determinant

    def kl(self) -> None:
        """See `Posterior.kl`: it has no closed form."""
        return

    def select(self, rows: Tensor | slice) -> "FlowPosterior":
        """See `Posterior.select`."""
        return FlowPosterior(
            self.location[rows],
            self.log_variance[rows],
            self.context[rows],
            self.center[rows],
            self.steps,
        )

    def _noise(self, seed: Tensor, samples: int, stream: int) -> Tensor:
        return normal(seed, (samples, *self.location.shape), stream, self.location.device)

    def _base(self, noise: Tensor) -> Tensor:
        return self.location + torch.exp(0.5 * self.log_variance) * noise

    def _base_log_prob(self, noise: Tensor) -> Tensor:
        return -0.5 * (noise.square() + self.log_variance + math.log(2 * math.pi)).sum(-1)

    def _bend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Through all steps, and the log-determinant."""
        return bend(self.steps, x, self.context)


def bend(steps: nn.ModuleList, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors [..., B, D] through all steps, and log |dz / dx| [..., B]; contexts are [B, C]."""
    log_determinant = torch.zeros((), device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        for step in steps:
            x, more = step(x, context)
            log_determinant = log_determinant + more
    return x, log_determinant


@dataclass(frozen=True)
class Iaf:
    """Inverse autoregressive flow: correlated, skewed, many-peaked posteriors."""

    dimension: int = 32
    """Size D of the latent vector."""
    steps: int = 2
    """Steps of the flow; every other one goes through the dimensions backwards."""
    width: int = 128
    """Hidden units of a step, and size of the context that the encoder tells them."""

    def __post_init__(self) -> None:
        """Refuse what is no flow."""
        for name in ("dimension", "steps", "width"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"posterior iaf: {name} must be at least 1, got {getattr(self, name)}"
                )

    def build(self, width: int) -> "IafNetwork":
        """The module, for summaries [B, width]."""
        return IafNetwork(self, width)


@final
class IafNetwork(PosteriorNetwork):
    """See `Iaf`."""

    def __init__(self, config: Iaf, width: int) -> None:
        super().__init__()
        self.dimension = config.dimension
        self.statistics = nn.Linear(width, 2 * config.dimension)
        self.context = nn.Linear(width, config.width)
        with torch.no_grad():
            # As `Gaussian`: the first KL is small while the decoder learns to speak.
            self.statistics.weight.normal_(std=width**-0.5)
            self.statistics.bias.zero_()
        self.steps = nn.ModuleList(
            [
                GatedStep(config.dimension, config.width, config.width, reverse=number % 2 == 1)
                for number in range(config.steps)
            ]
        )

    def forward(self, summary: Tensor) -> FlowPosterior:
        """See `PosteriorNetwork.forward`."""
        location, log_variance = self.statistics(summary).float().chunk(2, -1)
        context = F.silu(self.context(summary).float())
        center, _ = bend(self.steps, location, context)
        log_variance = log_variance.clamp(*LOG_VARIANCE_RANGE)
        return FlowPosterior(location, log_variance, context, center, self.steps)
