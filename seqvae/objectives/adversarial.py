"""Adversarial autoencoder: a second network judges whether all latents together look like the prior."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from seqvae.errors import UserError
from seqvae.objectives.latents import Latents
from seqvae.objectives.objective import Loss, Objective, Terms, negative_elbo


@dataclass(frozen=True)
class Adversarial:
    """Reconstruction + weight * how surely a discriminator tells posteriors' samples from the prior's (Makhzani
    et al. 2016, arXiv 1511.05644). With noise on what the encoder reads (--training.noise.drop 0.3) it is the
    denoising one, DAAE (Shen et al. 2020, arXiv 1905.12777). A prior other than the standard one stays as it
    was at the start.
    """

    weight: float = 10.0
    """Nats of reconstruction that a nat of the discriminator's sureness is worth (10 in DAAE)."""
    log_variance: float = 0.01
    """Nats for each nat by which a log-variance is off 0, so that posteriors keep a width (LAAE, Shen et al.
    2020, sec. 5; Rubenstein et al. 2018, arXiv 1802.03761). 0: off; they then shrink to points."""
    gradient_penalty: float = 0.3
    """Half of it weighs the squared gradient of the discriminator's log-odds in z, so that the two players come
    to rest (Mescheder et al. 2018, arXiv 1801.04406, eq. 9 and 10). 0: none, as in DAAE."""
    width: int = 512
    """Units of the discriminator's hidden layer."""
    learning_rate: float = 5e-4
    """Of the discriminator's Adam, whose betas are 0.5 and 0.999 (as in DAAE)."""

    def __post_init__(self) -> None:
        """Refuse what would reward a mismatch, or teach the discriminator nothing."""
        for name in ("weight", "width", "learning_rate"):
            if getattr(self, name) <= 0:
                raise UserError(
                    f"objective adversarial: {name} must be above 0, got {getattr(self, name):g}"
                )
        for name in ("log_variance", "gradient_penalty"):
            if getattr(self, name) < 0:
                raise UserError(
                    f"objective adversarial: {name} must not be below 0, got {getattr(self, name):g}"
                )

    def build(self) -> "AdversarialObjective":
        """The objective; its discriminator is made by `attach`."""
        return AdversarialObjective(self)


@final
class AdversarialObjective(Objective):
    """See `Adversarial`."""

    aggregate = True

    def __init__(self, config: Adversarial) -> None:
        self.config = config
        self.opponent_rate = config.learning_rate

    def attach(self, dimension: int, device: torch.device) -> None:
        """See `Objective.attach`."""
        self.opponent = discriminator(dimension, self.config.width).to(device)

    def __call__(self, terms: Terms, progress: float) -> Loss:
        """See `Objective.__call__`."""
        loss = negative_elbo(terms, 0.0)
        if terms.latents is None:
            return loss
        if self.opponent is None:
            raise RuntimeError("attach the objective to the size of z first")
        told_apart, opposed = adversarial_losses(
            self.opponent, terms.latents, self.config.gradient_penalty
        )
        total = loss.total + self.config.weight * told_apart
        total = total + self.config.log_variance * terms.latents.off_unit_variance
        shown = {"told_apart": told_apart.detach(), "discriminator": opposed.detach()}
        return Loss(total, {**loss.shown, **shown}, opposed)

    def criterion(self, measured: dict[str, Any]) -> float:
        """See `Objective.criterion`.

        A discriminator is no measure: its loss is relative to what it has learned. The MMD stands for it.
        """
        reconstruction: float = measured["reconstruction"]
        return reconstruction + self.config.weight * float(measured["mmd"])


def discriminator(dimension: int, width: int) -> nn.Sequential:
    """From z [..., D] to the log-odds [..., 1] that it is of the prior; one hidden layer, as in DAAE."""
    return nn.Sequential(nn.Linear(dimension, width), nn.ReLU(), nn.Linear(width, 1))


def adversarial_losses(
    network: nn.Module, latents: Latents, gradient_penalty: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What the encoder and what the discriminator minimise, 0-d, in nats.

    Where nothing tells the two apart the first is ln 2 and the second 2 ln 2.

    Args:
        network: from vectors [..., D] to log-odds [..., 1] that they are of the prior.
        latents: samples of both.
        gradient_penalty: see `Adversarial`.

    Returns:
        -log D(z), the non-saturating loss (Goodfellow et al. 2014, arXiv 1406.2661, sec. 3), whose gradient
        does not reach the discriminator; and -log D(prior) - log(1 - D(z)), whose gradient reaches it alone.
    """
    fixed = {name: weight.detach() for name, weight in network.named_parameters()}
    told_apart = F.softplus(-functional_call(network, fixed, (latents.posterior,))).mean()
    steep = gradient_penalty > 0
    inputs = [z.detach().requires_grad_(steep) for z in (latents.prior, latents.posterior)]
    real, drawn = (network(z) for z in inputs)
    opposed = F.softplus(-real).mean() + F.softplus(drawn).mean()
    if steep:
        slopes = torch.autograd.grad(real.sum() + drawn.sum(), inputs, create_graph=True)
        for slope in slopes:
            opposed = opposed + gradient_penalty / 2 * slope.square().sum(-1).mean()
    return told_apart, opposed
