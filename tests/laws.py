"""What every variant must keep to: laws by kind, run over each choice and each of its options.

A new posterior, prior, objective, schedule, likelihood, encoder or decoder that stands in its folder's
choice list is tested here with no further line.
"""

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from seqvae.objectives import Latents, Loss, Objective, Terms
from seqvae.posteriors import Gaussian, Posterior
from seqvae.posteriors.gaussian import GaussianNetwork
from seqvae.posteriors.posterior import joined
from seqvae.posteriors.vmf import OnSphere
from seqvae.priors import Standard
from seqvae.priors.pairs import build_prior
from seqvae.priors.vamp import Infer, VampPrior

WIDTH, LATENT, VOCABULARY, MAX_LENGTH = 8, 2, 11, 16
# Sizes that make any configuration small, and values for options that are off by default.
SMALL = {"dimension": LATENT, "width": WIDTH, "heads": 2, "prefix": 2, "layers": 2, "samples": 4}
SMALL |= {"components": 3, "pieces": 2, "rank": 1, "steps": 2}
# Of the speech networks: no layer is left out.
SMALL |= {"coarse_layers": 1, "fine_width": WIDTH - 2, "fine_layers": 1, "smooth": 5}
ON = {"batch_norm": 0.5, "smooth": 0, "scale": 0.7, "levels": 2}

Law = Callable[[Any], None]
LAWS: dict[str, list[Law]] = {}


def law(kind: str) -> Callable[[Law], Law]:
    """Register a law for every configuration of a kind."""

    def register(function: Law) -> Law:
        LAWS.setdefault(kind, []).append(function)
        return function

    return register


def variants(*choices: Any) -> list[Any]:  # noqa: ANN401 (a union of classes, or one class)
    """Small configurations of each class: the default one, and one for every other option.

    Options are the values of fields of Literal or bool type, and those of `ON`.
    """
    found = []
    for cls in (c for choice in choices for c in get_args(choice) or (choice,)):
        names = [f.name for f in dataclasses.fields(cls)]
        hints = get_type_hints(cls)
        default = cls(**{n: SMALL[n] for n in names if n in SMALL and hints[n] is int})
        found.append(default)
        for name in names:
            now = getattr(default, name)
            options: list[Any] = [ON[name]] if name in ON and ON[name] != now else []
            if get_origin(hints[name]) is Literal:
                options = [value for value in get_args(hints[name]) if value != now]
            elif isinstance(now, bool):
                options = [not now]
            found += [dataclasses.replace(default, **{name: value}) for value in options]
    return found


def seed(value: int) -> Tensor:
    return torch.tensor([value])


def noise(*shape: int, of: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normals; `of` picks another draw."""
    generator = torch.Generator().manual_seed(of)
    return torch.randn(shape, generator=generator, dtype=dtype)


def close(a: Tensor, b: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=atol)


def build(config: Any, *sizes: Any) -> Any:  # noqa: ANN401
    """The module in evaluation mode, with weights large enough to tell inputs apart."""
    torch.manual_seed(0)
    module: nn.Module = config.build(*sizes).eval()
    if isinstance(module, VampPrior):
        module.attach(WIDTH, reader())
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.copy_(noise(*parameter.shape, of=parameter.numel()) / WIDTH**0.5)
    return module


def reader() -> Infer:
    """An encoder and posterior in one, for priors that read: the mean of what is read, and a layer."""
    network: GaussianNetwork = build(Gaussian(LATENT), WIDTH)
    return lambda x, lengths: network(x.mean(1))


def gradients_reach_everything(module: nn.Module, total: Tensor) -> None:
    total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def grid(half: float = 14.0, points: int = 701) -> tuple[Tensor, float]:
    """A square grid [points^2, 2] around zero, and the area of a cell."""
    line = torch.linspace(-half, half, points)
    return torch.cartesian_prod(line, line), (2 * half / (points - 1)) ** 2


def support(posterior: Posterior) -> tuple[Tensor, float]:
    """Where the density is: a grid [N, 2], and the area of a cell; or a circle, and the length."""
    if not isinstance(posterior, OnSphere):
        return grid(points=281)
    angle = torch.arange(1000) * (2 * math.pi / 1000)
    return torch.stack([angle.cos(), angle.sin()], 1), 2 * math.pi / 1000


def posterior_of(config: Any, rows: int = 3) -> Posterior:  # noqa: ANN401
    posterior: Posterior = build(config, WIDTH)(noise(rows, WIDTH))
    return posterior


@law("posterior")
def samples_have_their_shape_and_repeat(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    z = posterior.sample(seed(1), 4)
    assert z.shape == (4, 3, LATENT)
    assert z.dtype == posterior.mean.dtype == torch.float32
    assert torch.equal(z, posterior.sample(seed(1), 4))
    assert not torch.equal(z, posterior.sample(seed(2), 4))


@law("posterior")
def no_noise_is_the_mean_and_half_of_it_half_as_far(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    close(posterior.sample(seed(1), 2, 0.0), posterior.mean.expand(2, -1, -1))
    if not posterior.location_scale:
        return
    whole, half = (posterior.sample(seed(1), 2, scale) - posterior.mean for scale in (1.0, 0.5))
    close(half, whole / 2)
    drawn = posterior.sample(seed(1), 20_000)
    error = drawn.std(0) / 20_000**0.5
    assert ((drawn.mean(0) - posterior.mean).abs() < 5 * error).all()


@law("posterior")
def samples_follow_the_density(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    z, log_prob = posterior.sample_with_log_prob(seed(1), 20_000)
    close(z, posterior.sample(seed(1), 20_000))
    torch.testing.assert_close(log_prob, posterior.log_prob(z), rtol=1e-4, atol=1e-4)
    points, area = support(posterior)
    density = posterior.log_prob(points[:, None])
    for statistic in (lambda x: x[..., 0], lambda x: x[..., 0] * x[..., 1], posterior.log_prob):
        drawn = statistic(z)
        expected = (density.exp() * statistic(points[:, None])).sum(0) * area
        assert ((drawn.mean(0) - expected).abs() < 5 * drawn.std(0) / len(z) ** 0.5).all()


@law("posterior")
def kl_is_that_of_its_samples(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    z, log_prob = posterior.sample_with_log_prob(seed(3), 20_000)
    prior = build_prior(config, Standard(), LATENT)
    ratio = log_prob - prior.log_prob(z)
    # Of other samples, where it is no closed form: both estimates err.
    kl = prior.kl(posterior, z=posterior.sample(seed(4), 20_000))
    assert kl.shape in ((3, LATENT), (3, 1))
    assert (kl >= 0).all()
    error = 5 * 2**0.5 * ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - kl.sum(1)).abs() < error).all()


@law("posterior")
def samples_and_kl_together_are_those_apart(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    z, kl = posterior.sample_with_kl(seed(3), 7)
    torch.testing.assert_close(z, posterior.sample(seed(3), 7))
    wanted = build_prior(config, Standard(), LATENT).kl(posterior, z=z)
    torch.testing.assert_close(kl, wanted, rtol=1e-4, atol=1e-4)


@law("posterior")
def posterior_density_integrates_to_one(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    points, area = support(posterior)
    mass = posterior.log_prob(points[:, None]).exp().sum(0) * area
    close(mass, torch.ones(3), atol=1e-3)


@law("posterior")
def select_is_the_rows_themselves(config: Any) -> None:  # noqa: ANN401
    posterior = posterior_of(config)
    z = noise(3, LATENT)
    for rows in (slice(1, 3), torch.tensor([2, 0, 2])):
        part = posterior.select(rows)
        assert torch.equal(part.mean, posterior.mean[rows])
        kl, part_kl = posterior.kl(), part.kl()
        assert (kl is None) == (part_kl is None)
        if kl is not None and part_kl is not None:
            assert torch.equal(part_kl, kl[rows])
        close(part.log_prob(z[rows]), posterior.log_prob(z)[rows])
    both = joined([posterior, posterior.select(slice(1, 3))])
    assert torch.equal(both.mean[3:], posterior.mean[1:])


@law("posterior")
def posterior_learns(config: Any) -> None:  # noqa: ANN401
    network = build(config, WIDTH)
    posterior = network(noise(6, WIDTH))
    z, kl = posterior.sample_with_kl(seed(1), 2)
    gradients_reach_everything(network, z[..., 0].square().sum() + kl.sum())


@law("posterior")
def posterior_in_training_takes_one_row(config: Any) -> None:  # noqa: ANN401
    network = build(config, WIDTH).train()
    assert torch.isfinite(network(noise(1, WIDTH)).sample(seed(1))).all()
    assert all(module.training for module in network.modules())


@law("prior")
def prior_density_integrates_to_one(config: Any) -> None:  # noqa: ANN401
    points, area = grid()
    mass = build(config, LATENT).log_prob(points).exp().sum() * area
    close(mass, torch.ones(()), atol=1e-3)


@law("prior")
def prior_samples_follow_its_density(config: Any) -> None:  # noqa: ANN401
    prior = build(config, LATENT)
    z = prior.sample(seed(1), 20_000)
    assert z.shape == (20_000, LATENT)
    assert torch.equal(z, prior.sample(seed(1), 20_000))
    close(z[:7], prior.sample(seed(1), 7))
    points, area = grid()
    weight = prior.log_prob(points).exp() * area
    for statistic in (lambda x: x[:, 0], lambda x: x.square().sum(1), prior.log_prob):
        drawn = statistic(z)
        expected = (weight * statistic(points)).sum()
        assert (drawn.mean() - expected).abs() < 5 * drawn.std() / len(z) ** 0.5


@law("prior")
def prior_kl_is_that_of_posterior_samples(config: Any) -> None:  # noqa: ANN401
    prior, posterior = build(config, LATENT), posterior_of(Gaussian(LATENT))
    z = posterior.sample(seed(3), 20_000)
    ratio = posterior.log_prob(z) - prior.log_prob(z)
    # Of other samples, where it is no closed form: both estimates err.
    kl = prior.kl(posterior, z=posterior.sample(seed(4), 20_000))
    assert kl.shape in ((3, LATENT), (3, 1))
    assert kl.dtype == torch.float32
    error = 5 * 2**0.5 * ratio.std(0) / len(z) ** 0.5
    assert ((ratio.mean(0) - kl.sum(1)).abs() < error).all()
    assert (kl > 0).all()
    drawn, together = prior.sample_posterior(posterior, seed(3), 2)
    torch.testing.assert_close(drawn, posterior.sample(seed(3), 2))
    torch.testing.assert_close(together, prior.kl(posterior, z=drawn))
    assert prior.kl(posterior).shape == kl.shape


@law("prior")
def prior_learns(config: Any) -> None:  # noqa: ANN401
    prior = build(config, LATENT)
    total = prior.log_prob(noise(7, LATENT)).sum()
    if total.requires_grad:
        gradients_reach_everything(prior, total)


def terms_of(samples: int, of: int = 0, scale: float = 1.0) -> Terms:
    """Terms of 5 sequences whose KL is exactly the mean of their samples' log-ratios."""
    reconstruction = 20 + noise(samples, 5, of=of)
    log_ratio = -3 * scale + noise(samples, 5, of=of + 1)
    share = torch.tensor([0.7, 0.3])
    kl = -log_ratio.mean(0)[:, None] * share
    kl_dimensions = {"sequence": kl.requires_grad_()}
    z, prior = (noise(samples, 5, LATENT, of=of + also) for also in (2, 3))
    return Terms(
        reconstruction.requires_grad_(),
        kl_dimensions,
        log_ratio.requires_grad_(),
        latents=Latents((z + 1).requires_grad_(), prior, noise(5, LATENT, of=of + 4)),
    )


def ready(config: Any) -> Objective:  # noqa: ANN401
    """The objective, its own networks made: the same ones each time."""
    torch.manual_seed(0)
    objective: Objective = config.build()
    objective.attach(LATENT, torch.device("cpu"))
    return objective


def losses(objective: Objective, kls: list[float]) -> list[float]:
    """Totals over a run in which these KLs are observed."""
    out = []
    for step, kl in enumerate(kls):
        out.append(float(objective(terms_of(objective.samples), step / len(kls)).total.detach()))
        objective.observe(kl)
    return out


@law("objective")
def loss_is_finite_and_says_what_it_weighs(config: Any) -> None:  # noqa: ANN401
    objective = ready(config)
    terms = terms_of(objective.samples)
    for progress in (0.0, 0.5, 1.0):
        loss: Loss = objective(terms, progress)
        assert loss.total.dim() == 0
        assert torch.isfinite(loss.total)
        close(torch.as_tensor(loss.shown["reconstruction"]), terms.reconstruction.mean().detach())
        close(torch.as_tensor(loss.shown["kl"]), terms.kl.mean().detach())


@law("objective")
def loss_pulls_reconstruction_down(config: Any) -> None:  # noqa: ANN401
    objective = ready(config)
    terms = terms_of(objective.samples)
    objective(terms, 1.0).total.backward()  # type: ignore[no-untyped-call]
    assert terms.reconstruction.grad is not None
    # Nats per sequence: the weights of a sequence's samples add up to 1 / B.
    close(terms.reconstruction.grad.sum(0), torch.full((5,), 0.2))
    assert (terms.reconstruction.grad > 0).all()


@law("objective")
def a_language_model_has_its_likelihood_as_loss(config: Any) -> None:  # noqa: ANN401
    terms = Terms(20 + noise(1, 5))
    close(ready(config)(terms, 0.5).total, terms.reconstruction.mean())


@law("objective")
def a_saved_objective_goes_on_as_if_never_saved(config: Any) -> None:  # noqa: ANN401
    kls = (8 + 6 * noise(60)).abs().tolist()
    through, first, second = ready(config), ready(config), ready(config)
    losses(through, kls[:30])
    losses(first, kls[:30])
    second.load_state(json.loads(json.dumps(first.state())))
    assert losses(through, kls[30:]) == losses(second, kls[30:])
    assert through.state() == second.state()


@law("objective")
def an_infinite_kl_teaches_nothing(config: Any) -> None:  # noqa: ANN401
    objective = ready(config)
    losses(objective, [3.0, 12.0])
    before = objective.state()
    for kl in (math.nan, math.inf, -math.inf):
        objective.observe(kl)
    assert objective.state() == before


@law("objective")
def at_beta_one_no_loss_is_below_the_tighter_bound(config: Any) -> None:  # noqa: ANN401
    objective = ready(config)
    for of in range(0, 20, 2):
        terms = terms_of(max(objective.samples, 4), of=of, scale=3.0)
        loss = objective(terms, 1.0)
        assert terms.log_ratio is not None
        weight = terms.log_ratio - terms.reconstruction
        bound = (math.log(len(weight)) - weight.logsumexp(0)).mean()
        if loss.shown["beta"] == 1.0 and getattr(config, "variant", "") != "gate":
            assert loss.total >= bound - 1e-5


@law("objective")
def one_that_compares_all_posteriors_with_the_prior_pulls_them_there(config: Any) -> None:  # noqa: ANN401
    objective = ready(config)
    terms = terms_of(objective.samples)
    assert terms.latents is not None
    objective(terms, 1.0).total.backward()  # type: ignore[no-untyped-call]
    gradient = terms.latents.posterior.grad
    assert (gradient is not None) == objective.aggregate
    if gradient is not None:
        assert torch.isfinite(gradient).all()
        # They lie 1 above the prior in every dimension.
        assert (gradient.mean((0, 1)) > 0).all()


@law("schedule")
def schedule_stays_between_its_ends(config: Any) -> None:  # noqa: ANN401
    ends = [getattr(config, name) for name in ("first", "last", "value") if hasattr(config, name)]
    for step in range(-50, 151):
        assert min(ends) <= config(step / 100) <= max(ends)


@law("schedule")
def schedule_is_clamped_and_deterministic(config: Any) -> None:  # noqa: ANN401
    assert config(-0.5) == config(0.0)
    assert config(1.5) == config(1.0)
    assert [config(x / 7) for x in range(8)] == [config(x / 7) for x in range(8)]
    assert config(1.0) == getattr(config, "value", None) or math.isclose(
        config(1.0), getattr(config, "last", config(1.0)), rel_tol=1e-5
    )
