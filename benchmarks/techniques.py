"""What is done against posterior collapse, each as one experiment: notes on each in its member's own file."""

from dataclasses import replace
from typing import Any

from seqvae import decoders, encoders
from seqvae.config import Experiment
from seqvae.data.noise import Noise
from seqvae.objectives import Elbo, FreeBits, Importance, Info, RateTarget
from seqvae.objectives.refine import Refine
from seqvae.posteriors import Gaussian, Iaf, Vmf
from seqvae.priors import Flow, Mixture, Vamp
from seqvae.schedules import Constant, Cyclical, Linear


def naive(base: Experiment) -> Experiment:
    """The textbook run that collapses: beta 1 from the start, the encoder's last state, no remedy."""
    encoder = base.text.encoder
    assert isinstance(encoder, encoders.Transformer | encoders.Gru)
    return replace(
        base,
        objective=Elbo(Constant(1.0)),
        model=replace(base.text, encoder=replace(encoder, pooling="last"), word_dropout=0.0),
        training=replace(base.training, guard="off", autoencoder=0.0, tighten=0.0),
    )


def techniques(base: Experiment) -> dict[str, Experiment]:
    """Experiments by name: `vae` is `base`, the others start from `naive`, or from it with mean pooling.

    Args:
        base: a text run whose objective is a rate target; its rate is what free bits hold free.
    """
    rated, posterior = base.objective, base.text.posterior
    assert isinstance(rated, RateTarget) and isinstance(posterior, Gaussian)
    last = naive(base)
    pooled = replace(last, model=replace(last.text, encoder=base.text.encoder))

    def trained(experiment: Experiment, **changes: Any) -> Experiment:  # noqa: ANN401
        return replace(experiment, training=replace(experiment.training, **changes))

    def modelled(experiment: Experiment, **changes: Any) -> Experiment:  # noqa: ANN401
        return replace(experiment, model=replace(experiment.text, **changes))

    rate = rated.rate
    ramp = Linear(end=0.25)
    annealed = replace(pooled, objective=Elbo(ramp))
    late = FreeBits(rate, "batch_dimension", Linear(begin=0.2, end=0.5))
    found = {
        "vae": base,
        "naive": last,
        "pooling": pooled,
        "anneal": replace(last, objective=Elbo(ramp)),
        "cyclical": replace(pooled, objective=Elbo(Cyclical())),
        "beta": replace(pooled, objective=Elbo(Constant(0.4))),
        "free_bits_dimension": replace(pooled, objective=FreeBits(rate, "batch_dimension", ramp)),
        "free_bits_total": replace(pooled, objective=FreeBits(rate, "batch_total", ramp)),
        "batch_norm": modelled(pooled, posterior=replace(posterior, batch_norm=0.6)),
        "word_dropout": modelled(annealed, word_dropout=0.3),
        "autoencoder": trained(replace(pooled, objective=late), autoencoder=0.2),
        "autoencoder_batch_norm": trained(
            modelled(pooled, posterior=replace(posterior, batch_norm=0.6)), autoencoder=0.2
        ),
        "aggressive": trained(annealed, aggressive=20),
        "encoder_noise": trained(annealed, noise=Noise(drop=0.3)),
        "vmf": modelled(pooled, posterior=Vmf(dimension=posterior.dimension)),
        "iaf": modelled(annealed, posterior=Iaf(dimension=posterior.dimension)),
        "mixture_prior": modelled(annealed, prior=Mixture()),
        "vamp_prior": modelled(annealed, prior=Vamp()),
        "flow_prior": modelled(annealed, prior=Flow()),
        # Half of the rate: what is committed is a floor, and the bound is free to want more.
        "delta": modelled(pooled, posterior=replace(posterior, committed=rate / 2)),
        "bag_of_words": modelled(pooled, bag_of_words=1.0),
        "fraternal": modelled(annealed, word_dropout=0.3, fraternal=1.0),
        "semi_amortised": modelled(pooled, refine=Refine(5)),
        "pooling_max": modelled(pooled, encoder=replace(pooled.text.encoder, pooling="max")),
        "importance": replace(pooled, objective=Importance(8)),
        "info": replace(pooled, objective=Info()),
        "lagrangian": replace(base, objective=replace(rated, controller="lagrangian")),
    }
    decoder = base.text.decoder
    if isinstance(decoder, decoders.Gru):  # a Transformer's FiLM tells each block by itself
        found["skip"] = modelled(pooled, decoder=replace(decoder, injection="skip"))
    return found
