"""Everything measured of a model of frames on a split of its corpus."""

import math
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from seqvae.batch import Batch
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.errors import UserError
from seqvae.evaluation.collapse import Aggregate, prior_reconstruction
from seqvae.evaluation.levels import by_level
from seqvae.evaluation.likelihood import elbo, evaluating, importance_weighted
from seqvae.frames_batch import frames_batches
from seqvae.likelihoods.bernoulli import BernoulliLikelihood
from seqvae.model_frames import FramesVAE

Measure = Literal["probability", "density", "cross-entropy"]
_AT_ONCE = 128


class FramesReport(dict[str, Any]):
    """What `evaluate_frames` measured: JSON values by name. `str()` gives the table.

    Nats are means over sequences, of standardised numbers where the likelihood standardises them;
    `<name>_se` is the standard error of that mean.

    Keys: split, sequences, frames, numbers (sizes); nll_iw with samples, elbo, reconstruction, kl,
    kl_by_dimension; mi with mi_cap, marginal_kl, au with dimension, prior_gap; squared_error of a number
    written from the posterior mean, in the data's units, and variance of the numbers around the training
    split's means; bits_per_dimension of nll_iw, of the data's own numbers; measure: what nats are of.
    A density of numbers that take few values (grey values) can be made as high as one likes: it
    compares models of the same data alone. A cross-entropy of fractions is no likelihood at all.
    """

    def __str__(self) -> str:
        return format_report(self)


@torch.inference_mode()
def evaluate_frames(
    model: FramesVAE,
    corpus: FramesCorpus,
    split: str = "test",
    *,
    samples: int = 500,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> FramesReport:
    """Measure a model on a split.

    Args:
        model: on any device; left in the mode it was in.
        corpus: what it was trained on, or one with the same features and labels.
        split: name of the split.
        samples: K of `nll_iw`.
        limit: most sequences, spread evenly over the split; None for all.
        seed: fixes every sample.
        progress: show a bar.

    Raises:
        UserError: no sequences there, or they do not fit the model.
    """
    store = corpus.split(split)
    _check(model, corpus, split)
    device = next(model.parameters()).device
    columns: dict[str, list[Tensor]] = {}
    aggregate, frames, squared, spread = Aggregate(), 0, 0.0, 0.0
    mean = torch.from_numpy(corpus.mean).to(device)
    batches = list(frames_batches(store, limit, _AT_ONCE))
    for raw in tqdm(batches, desc="evaluate", disable=None if progress else True):
        batch = raw.to(device)
        frames += int(batch.lengths.sum())
        bound = elbo(model, batch, seed)
        row = {"nll_iw": importance_weighted(model, batch, samples, seed)}
        if bound.posterior is not None:
            row |= {"reconstruction": bound.reconstruction, "kl": bound.kl, "elbo": bound.nll}
            row["prior_gap"] = prior_reconstruction(model, batch, seed) - bound.reconstruction
            aggregate.add(bound.posterior, bound.kl_dimensions)
            squared += _squared_error(model, batch, bound.posterior.mean)
            real = torch.arange(batch.values.shape[1], device=device) < batch.lengths[:, None]
            spread += float(((batch.values - mean).square() * real[..., None]).double().sum())
        for name, values in row.items():
            columns.setdefault(name, []).append(values.double().cpu())
    report = FramesReport(split=split, frames=frames, numbers=frames * corpus.features)
    report["samples"], report["measure"] = samples, _measure(model, corpus)
    for name, parts in columns.items():
        values = torch.cat(parts)
        report["sequences"], report[name] = len(values), float(values.mean())
        if len(values) > 1:
            report[f"{name}_se"] = float(values.std() / math.sqrt(len(values)))
    nats = report["nll_iw"] * report["sequences"] + model.likelihood.log_units * frames
    report["bits_per_dimension"] = nats / report["numbers"] / math.log(2)
    if model.latent is not None:
        diagnosis = asdict(aggregate.diagnose(seed))
        report |= diagnosis | {"kl_by_dimension": diagnosis["kl_by_dimension"].tolist()}
        report |= by_level(model.latent, aggregate, seed)
        report["squared_error"] = squared / report["numbers"]
        report["variance"] = spread / report["numbers"]
    return report


def _squared_error(model: FramesVAE, batch: Batch, z: Tensor) -> float:
    with evaluating(model):
        written = model.write(z, batch.lengths, batch.labels)
    # Both are zero at padding.
    return float((written - batch.values).square().double().sum())


def _measure(model: FramesVAE, corpus: FramesCorpus) -> Measure:
    likelihood = model.likelihood
    if not isinstance(likelihood, BernoulliLikelihood) or likelihood.continuous:
        return "density"
    return "probability" if corpus.meta["settings"]["binarise"] is not None else "cross-entropy"


def _check(model: FramesVAE, corpus: FramesCorpus, split: str) -> None:
    store = corpus.split(split)
    if not len(store):
        raise UserError(
            f"{corpus.path}: no sequences in split {split!r}; prepare it with more held out"
        )
    wanted = int(model.likelihood.mean_of_bins.numel())
    if corpus.features != wanted or corpus.longest > model.decoder.longest:
        raise UserError(
            f"{corpus.path}: sequences of up to {corpus.longest} frames of {corpus.features}; the model takes "
            f"{model.decoder.longest} of {wanted}: evaluate on the corpus it was trained on"
        )
    if model.labels is not None and (
        len(corpus.labels) != model.labels.num_embeddings or (store.labels < 0).any()
    ):
        raise UserError(
            f"{corpus.path}: the model needs the labels of the corpus it was trained on, "
            f"{model.labels.num_embeddings} of them"
        )


def format_report(report: FramesReport) -> str:
    """The report as a table in words."""

    def nats(name: str) -> str:
        error = report.get(f"{name}_se")
        return f"{report[name]:9.3f} nats" + ("" if error is None else f"  ± {error:.3f}")

    latent = "kl" in report
    how = f"  (importance-weighted, K = {report['samples']})" if latent else "  (exact)"
    rows = [
        (
            "sequences",
            f"{report['sequences']} of split {report['split']}, {report['frames']} frames",
        ),
        ("negative log-likelihood", nats("nll_iw") + how),
        ("  of a", report["measure"]),
        ("  bits per number", f"{report['bits_per_dimension']:9.4f}"),
    ]
    if latent:
        rows += [
            ("negative ELBO", nats("elbo")),
            ("  reconstruction", nats("reconstruction")),
            ("  KL, the rate of the latent", nats("kl")),
            (
                "mutual information",
                f"{report['mi']:9.3f} nats  of at most {report['mi_cap']:.3f} = ln N",
            ),
            ("aggregate from prior", f"{report['marginal_kl']:9.3f} nats"),
            ("prior gap", nats("prior_gap") + "  (lost when z says nothing)"),
            ("active units", f"{report['au']:5d} of {report['dimension']}"),
            (
                "squared error of a number",
                f"{report['squared_error']:9.5f}  of a variance of {report['variance']:.5f}",
            ),
        ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
