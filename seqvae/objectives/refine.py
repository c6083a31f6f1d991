"""Semi-amortised inference: the encoder's posterior, refined by gradient steps for each sequence (Kim et al. 2018).

arXiv 1802.02550, algorithm 1, in its first-order form: the decoder learns at the refined posterior, and the encoder
from the gradient there, as if the steps were a constant shift; the product of Hessians that the paper takes through
the steps by finite differences is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seqvae.errors import UserError
from seqvae.objectives.elbo import Elbo
from seqvae.objectives.importance import Importance
from seqvae.objectives.pairs import flag
from seqvae.posteriors import Posterior
from seqvae.posteriors.gaussian import LOG_VARIANCE_RANGE, DiagonalGaussian, Gaussian
from seqvae.priors import Prior

CLIP = 5.0
"""Greatest norm of a sequence's gradient in a step, as in the paper's text experiments."""

Cost = Callable[[Posterior], Tensor]
"""The negative ELBO of each row of a posterior, [B], in nats; differentiable."""


def negative_elbo_by_row(
    prior: Prior,
    draw: Callable[[Posterior], Tensor],
    reconstruction: Callable[[Tensor], Tensor],
) -> Cost:
    """The negative ELBO of each row, from the samples [1, B, D] that `draw` takes of a posterior.

    Args:
        prior: p(z).
        draw: samples; the same noise each time makes the steps agree.
        reconstruction: nats [1, B] of samples.
    """

    def cost(q: Posterior) -> Tensor:
        z = draw(q)
        return reconstruction(z)[0] + prior.kl(q, z=z).sum(-1)

    return cost


@dataclass(frozen=True)
class Refine:
    """Gradient steps on the mean and log-variance of each sequence's posterior, down the negative ELBO (beta 1).

    They read what is written: where that is not what the encoder reads (noise, pairs), or rows have a prior
    each (conditional), there are none; nor where q has a bound (committed) or the graph is fixed (compile).
    An export encodes without them.
    """

    steps: int = 0
    """Steps for each batch, in training, validation and evaluation; 0: off. Each costs a pass and its gradient."""
    rate: float = 0.5
    """Size of a step, on gradients of nats per sequence whose norm is at most 5."""

    def __post_init__(self) -> None:
        """Refuse steps that are none."""
        if self.steps < 0:
            raise UserError(f"--model.refine.steps must be 0 (off) or more, got {self.steps}")
        if not 0.0 < self.rate < float("inf"):
            raise UserError(f"--model.refine.rate must be above 0, got {self.rate:g}")

    def __call__(self, posterior: Posterior, cost: Cost) -> Posterior:
        """The refined posterior; gradients at it reach `posterior` unchanged.

        Rows do not see each other: each is refined as it would be alone, where `cost` is by row.

        Args:
            posterior: of the encoder.
            cost: see `Cost`; called once a step.
        """
        if not self.steps or not isinstance(posterior, DiagonalGaussian):
            return posterior
        # A recurrent network in evaluation mode has no gradient in cuDNN; and `inference_mode` ends in here.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.backends.cudnn.flags(enabled=False),
        ):
            location = posterior.location.detach().clone()
            log_variance = posterior.log_variance.detach().clone()
            for _ in range(self.steps):
                location.requires_grad_()
                log_variance.requires_grad_()
                nats = cost(DiagonalGaussian(location, log_variance)).sum()
                slopes = torch.autograd.grad(nats, (location, log_variance))
                norm = torch.cat(slopes, -1).norm(dim=-1, keepdim=True)
                # Rows that overflow stay where they are.
                size = self.rate * (CLIP / norm.clamp_min(CLIP)).where(norm.isfinite(), 0.0)
                moves = [torch.nan_to_num(slope, 0.0, 0.0, 0.0) * size for slope in slopes]
                location = (location - moves[0]).detach()
                log_variance = (log_variance - moves[1]).detach().clamp(*LOG_VARIANCE_RANGE)
        return DiagonalGaussian(
            posterior.location + (location - posterior.location).detach(),
            posterior.log_variance + (log_variance - posterior.log_variance).detach(),
        )


def check_refine(refine: Refine, posterior: object, objective: object) -> None:
    """Refuse what has no mean and log-variance to refine freely, or no ELBO to refine them to.

    Raises:
        UserError: names the flags and what to do.
    """
    if not refine.steps:
        return
    asked = f"--model.refine.steps {refine.steps}"
    if not isinstance(posterior, Gaussian):
        raise UserError(
            f"{asked} and model.posterior:{flag(posterior)} do not go together: the steps are on "
            "a mean and a log-variance alone; use model.posterior:gaussian"
        )
    if posterior.committed:
        raise UserError(
            f"{asked} and --model.posterior.committed {posterior.committed:g} do not go together: the steps know "
            "no bound of the variances; leave out one of the two"
        )
    if not isinstance(objective, Elbo | Importance):
        raise UserError(
            f"{asked} and objective:{flag(objective)} do not go together: the steps go to the "
            "ELBO at beta 1, which is not what it asks of the posterior; use objective:elbo or importance"
        )


def check_refined_run(refine: Refine, others: Mapping[str, bool]) -> None:
    """Refuse a run whose sequences cannot be refined; `others`: by flag, whether it is there.

    Raises:
        UserError: names the flags and what to do.
    """
    for other, there in others.items():
        if there and refine.steps:
            raise UserError(
                f"--model.refine.steps {refine.steps} and {other} do not go together: the steps need a z, read "
                "what is written, under one prior for all, in a graph that is not fixed; leave out one of the two"
            )
