"""A density fitted to the latents of a finished run: its prior from then on, without training again.

The ELBO's KL is I(x; z) + KL(q(z) || p(z)), where q(z) averages the posteriors over the data (Hoffman and
Johnson 2016). The second term is what a prior that does not know where posteriors lie costs, in likelihood
and in samples; the encoder and the decoder have no part in it. Here it is brought down by greatest likelihood
of samples of the training split's posteriors (ex-post density estimation, Ghosh et al. 2020,
arXiv 1903.12436), as the validation split's judge it.
"""

import copy
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqvae.batch import Batch
from seqvae.config_json import from_json, to_json
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.errors import UserError
from seqvae.evaluation.likelihood import evaluating
from seqvae.model import SequenceVAE
from seqvae.posteriors import Posterior
from seqvae.priors import FittedPriorChoice, Prior
from seqvae.priors.standard import StandardPrior
from seqvae.training.checkpoint import read_checkpoint, write_checkpoint

FOLDER = "prior"
"""Of the run: where the fitted prior lies."""
HELD_OUT_DRAWS = 8
"""Samples of each validation posterior."""
LOOKS = 20
"""How often the fit is judged on the validation split; the best one is kept."""


@dataclass(frozen=True)
class Fitting:
    """How a density is fitted."""

    steps: int = 3000
    """Optimiser steps."""
    batch: int = 512
    """Latent vectors in each."""
    learning_rate: float = 2e-3
    """First learning rate of Adam; it falls to 0 along a cosine."""
    sequences: int = 50_000
    """Most sequences of the training split whose posteriors are used, spread evenly over it."""
    seed: int = 0
    """Of the density's first weights and of all samples."""

    def __post_init__(self) -> None:
        """Refuse what fits nothing."""
        for name in ("steps", "batch", "learning_rate", "sequences"):
            if not getattr(self, name) > 0:
                raise UserError(
                    f"--{name.replace('_', '-')} must be above 0, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class Fitted:
    """A fitted prior with what was measured of it.

    Attributes:
        prior: the density, in evaluation mode.
        standard: mean -log p(z) of held-out latents under N(0, I), nats.
        fitted: the same under the density. The ELBO gains the difference.
        step: optimiser steps after which it was best.
    """

    prior: Prior
    standard: float
    fitted: float
    step: int

    @property
    def gain(self) -> float:
        """Nats per sequence that the ELBO gains."""
        return self.standard - self.fitted


def fit_density(
    config: FittedPriorChoice,
    training: list[Posterior],
    held_out: list[Posterior],
    fitting: Fitting,
    *,
    progress: bool = False,
) -> Fitted:
    """Fit a density to samples of posteriors, drawn afresh in every pass over them.

    Args:
        config: kind of density.
        training: posteriors of the training split, batch by batch.
        held_out: those of the validation split, which say when it is best.
        fitting: how.
        progress: show a bar on standard error.
    """
    judged = _draw(held_out, -1 - fitting.seed, HELD_OUT_DRAWS)
    dimension, device = judged.shape[1], judged.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fitting.seed)
        prior = config.build(dimension).to(device)
    with torch.inference_mode():
        standard = float(-StandardPrior(dimension).log_prob(judged).double().mean())
    best = Fitted(prior, math.inf, math.inf, 0)
    optimizer = torch.optim.Adam(prior.parameters(), fitting.learning_rate)
    every = max(1, fitting.steps // LOOKS)
    rows, passes = torch.zeros(0, dimension, device=device), 0
    for step in tqdm(range(1, fitting.steps + 1), desc="fit", unit="step", disable=not progress):
        while len(rows) < fitting.batch:
            rows, passes = torch.cat([rows, _pass(training, fitting, passes)]), passes + 1
        z, rows = rows[: fitting.batch], rows[fitting.batch :]
        along = (step - 1) / fitting.steps
        optimizer.param_groups[0]["lr"] = (
            fitting.learning_rate * 0.5 * (1 + math.cos(math.pi * along))
        )
        optimizer.zero_grad()
        (-prior.log_prob(z).mean()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(prior.parameters(), 10.0)
        optimizer.step()
        if step % every and step < fitting.steps:
            continue
        with evaluating(prior):
            cost = float(-prior.log_prob(judged).double().mean())
        if cost < best.fitted:
            best = Fitted(copy.deepcopy(prior).eval(), standard, cost, step)
    if not math.isfinite(best.fitted):
        raise UserError("fit-prior: the density came to no finite value; lower --learning-rate")
    return best


def fit_prior(
    run: str | Path,
    config: FittedPriorChoice,
    fitting: Fitting | None = None,
    *,
    data: str | Path | None = None,
    which: str = "best",
    device: str = "cpu",
    progress: bool = True,
) -> Fitted:
    """Fit a prior to a run's posteriors and keep it in the run, where `load` finds it.

    Args:
        run: folder that `seqvae train` wrote; its prior is the standard normal.
        config: kind of density.
        fitting: how.
        data: corpus; by default the one the run was trained on.
        which: weights, best or last. The prior belongs to these.
        device: where to compute.
        progress: show bars on standard error.

    Raises:
        UserError: not such a run or corpus, or the density fits no better than the standard normal.
    """
    from seqvae.training.load import load_text

    fitting = fitting or Fitting()
    model = load_text(run, which, device, prior="standard")  # type: ignore[arg-type]
    prior = model.need_latent("fit-prior").prior
    if not isinstance(prior, StandardPrior):
        raise UserError(
            f"{run}: its prior was trained with it ({type(prior).__name__}); fit-prior is for runs "
            "trained with the standard one"
        )
    corpus = Corpus.open(data or model.info["experiment"].data)
    longest, pairs = model.max_pieces + 2, bool(model.info["pairs"])
    training, held_out = (
        _posteriors(model.model, corpus, split, fitting.sequences, longest, pairs, progress)
        for split in ("train", "valid")
    )
    fitted = fit_density(config, training, held_out, fitting, progress=progress)
    if fitted.gain <= 0:
        raise UserError(
            f"fit-prior: held-out latents cost {fitted.fitted:.3f} nats under the fitted density, "
            f"{fitted.standard:.3f} under the standard normal: nothing is written; use more --steps"
        )
    measured = {k: getattr(fitted, k) for k in ("standard", "fitted", "gain", "step")}
    state = {
        "prior": to_json(config),
        "fitting": dataclasses.asdict(fitting),
        "which": which,
        "weights_step": model.info["step"],
        "measured": measured,
    }
    write_checkpoint(Path(run) / FOLDER, {"model": fitted.prior.state_dict()}, state)
    return fitted


def read_fitted(
    run: Path, which: str, step: int, dimension: int, device: str
) -> tuple[Prior, dict[str, Any]] | None:
    """The prior that was fitted to a run's weights, with its facts; None: there is none.

    Raises:
        UserError: it is damaged, or was fitted to other weights.
    """
    folder = run / FOLDER
    if not folder.exists():
        return None
    tensors, state = read_checkpoint(folder, device)
    found = (state.get("which"), state.get("weights_step"))
    if found != (which, step):
        raise UserError(
            f"{folder}: fitted to the {found[0]} weights, of step {found[1]}, and these are the {which} "
            f"ones, of step {step}: run `seqvae fit-prior {run} --which {which}`, or go on with "
            "--prior standard"
        )
    config = from_json(FittedPriorChoice, state.get("prior"), f"{folder}: prior")
    prior: Prior = config.build(dimension)
    try:
        prior.load_state_dict(tensors.get("model", {}))
    except RuntimeError as error:
        raise UserError(f"{folder}: its weights do not fit its state.json ({error})") from None
    return prior.to(device).eval(), state


def kinds() -> dict[str, type]:
    """Kinds of density by the names they have on the command line."""
    return {cls.__name__.lower(): cls for cls in get_args(FittedPriorChoice)}


def _posteriors(
    model: SequenceVAE,
    corpus: Corpus,
    split: str,
    limit: int,
    longest: int,
    pairs: bool,
    progress: bool,
) -> list[Posterior]:
    """Posteriors of up to `limit` sequences of a split, spread evenly over it."""
    store = corpus.split(split)
    loader = Loader(
        store,
        tokens_per_batch=max(8192, longest),
        seed=0,
        shuffle=False,
        max_length=longest,
        pairs=pairs,
    )
    kept = np.zeros(len(store), bool)
    kept[np.linspace(0, len(store) - 1, min(limit, len(store))).round().astype(np.int64)] = True
    device = next(model.parameters()).device
    found = []
    batches = loader.epoch_batches(0)
    with evaluating(model):
        for indices in tqdm(batches, desc=f"read {split}", unit="batch", disable=not progress):
            if kept[indices].any():
                raw = loader.collate(indices[kept[indices]])
                found.append(model.encode(Batch.from_raw(raw).to(device)))
    return found


def _pass(posteriors: list[Posterior], fitting: Fitting, number: int) -> Tensor:
    """One sample of every posterior in random order, [N, D]; those of each pass are others."""
    z = _draw(posteriors, 1_000_003 * fitting.seed + number, 1)
    generator = torch.Generator().manual_seed(fitting.seed + number)
    return z[torch.randperm(len(z), generator=generator).to(z.device)]


@torch.no_grad()
def _draw(posteriors: list[Posterior], seed: int, samples: int) -> Tensor:
    """Samples of all posteriors, one below the other, [samples * N, D]."""
    device = posteriors[0].mean.device
    key = torch.tensor([seed], device=device)
    # Each batch has a stream of its own: else its rows would share their noise with other batches'.
    drawn = [p.sample(key, samples, stream=i).flatten(0, 1) for i, p in enumerate(posteriors)]
    return torch.cat(drawn)
