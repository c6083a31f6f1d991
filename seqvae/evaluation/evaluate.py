"""Everything measured on a split of a corpus, in one report."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqvae.batch import Batch
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader, RawBatch
from seqvae.data.text import Tokenizer
from seqvae.errors import UserError
from seqvae.evaluation.collapse import Aggregate, prior_reconstruction
from seqvae.evaluation.levels import by_level, level_kls
from seqvae.evaluation.likelihood import elbo, importance_weighted_under
from seqvae.evaluation.text import bleu, correct_tokens, greedy
from seqvae.given_model import by_known
from seqvae.model import SequenceVAE
from seqvae.priors import Prior

# Longest sequence for decoders that can go on for ever.
LONGEST = 256


class Report(dict[str, Any]):
    """What `evaluate` measured: JSON values by name. `str()` gives the table.

    Nats are means over sequences; `<name>_se` is the standard error of that mean. Of a language model
    only the counts and the likelihood are there.

    Keys: split, sequences, skipped, tokens, words, bytes (sizes; end tokens are in tokens, not in words);
    nll_iw with samples and, where its proposal is wider than the posterior, widened; elbo (negative, so lower is better), reconstruction, kl, kl_by_dimension;
    mi with mi_cap, marginal_kl, au with dimension, prior_gap; token_accuracy, exact_match in [0, 1]
    and bleu in percent (greedy, from the posterior mean); bits_per_byte and perplexity_word (per
    whitespace word and end) of nll_iw. Of a latent with levels also kl_1, kl_2 ... and mi_1, mi_2 ...: see
    `seqvae.evaluation.levels`. All are of the model's prior; nll_iw_NAME is under others.
    """

    def __str__(self) -> str:
        return format_report(self)


def evaluate(
    model: SequenceVAE,
    corpus: Corpus,
    split: str = "test",
    *,
    samples: int = 500,
    limit: int | None = None,
    seed: int = 0,
    tokens_per_batch: int = 8192,
    max_length: int | None = None,
    pairs: bool = False,
    beside: Mapping[str, Prior] | None = None,
    widen: float = 0.0,
    progress: bool = True,
) -> Report:
    """Measure a model on a split.

    Args:
        model: a text model, on any device; left in the mode it was in.
        corpus: what it was trained on.
        split: name of the split.
        samples: K of `nll_iw`.
        limit: most sequences, spread evenly over the split; None for all.
        seed: fixes every sample.
        tokens_per_batch: most values in a batch.
        max_length: longer sequences (in tokens, start and end counted) are left out and counted; None:
            as long as the decoder can.
        pairs: read the first side of each pair and judge the second.
        beside: further priors by name, under which `nll_iw` is measured from the same samples.
        widen: see `seqvae.evaluation.likelihood.widened`; of `nll_iw` alone.
        progress: show a bar on standard error.

    Raises:
        UserError: no such split, nothing in it, `limit` below 1, or a model of another vocabulary.
    """
    _check(model, corpus)
    if limit is not None and limit < 1:
        raise UserError(f"limit must be at least 1 sequence, got {limit}")
    longest = int(getattr(model.decoder, "max_length", max_length or LONGEST))
    longest = min(longest, max_length or longest)
    store = corpus.split(split)
    loader = Loader(
        store,
        tokens_per_batch=tokens_per_batch,
        seed=seed,
        shuffle=False,
        max_length=longest,
        pairs=pairs,
    )
    device = next(model.parameters()).device
    measured = _Measured(model, corpus.tokenizer, samples, seed, longest, beside or {}, widen)
    chosen = _spread(len(store), limit)
    total = len(store) if limit is None else int(chosen.sum())
    indices: list[np.ndarray] = []
    with tqdm(total=total, unit="sequence", desc=f"evaluate {split}", disable=not progress) as bar:
        for raw in _batches(loader, chosen):
            measured.add(Batch.from_raw(raw).to(device))
            indices.append(raw.indices)
            bar.update(len(raw.indices))
    if not indices:
        raise UserError(f"{corpus.path}: split {split!r} has no sequence up to {longest} tokens")
    kept = np.concatenate(indices)
    report = Report(split=split, sequences=len(kept), skipped=total - len(kept))
    report |= measured.result()
    if not pairs:  # sizes are known of the first side alone
        _views(report, int(store.words[kept].sum()), int(store.bytes[kept].sum()))
    return report


class _Measured:
    """Per-sequence results, gathered batch by batch."""

    def __init__(
        self,
        model: SequenceVAE,
        tokenizer: Tokenizer,
        samples: int,
        seed: int,
        max_length: int,
        beside: Mapping[str, Prior],
        widen: float,
    ) -> None:
        self.model, self.tokenizer, self.beside = model, tokenizer, beside
        self.widen = widen
        self.samples, self.seed, self.max_length = samples, seed, max_length
        self.columns: dict[str, list[Tensor]] = {}
        self.aggregate = Aggregate()
        self.said: list[str] = []
        self.meant: list[str] = []
        self.exact = 0

    def add(self, batch: Batch) -> None:
        for model, part in by_known(self.model, batch):
            self._add(model, part)

    def _add(self, model: SequenceVAE, batch: Batch) -> None:
        bound = elbo(model, batch, self.seed)
        row = {"tokens": batch.lengths - 1}
        if bound.posterior is None:
            row["nll_iw"] = bound.reconstruction
        else:
            names = ["nll_iw", *(f"nll_iw_{name}" for name in self.beside)]
            priors = [model.need_latent().prior, *self.beside.values()]
            nll = importance_weighted_under(
                priors, model, batch, self.samples, self.seed, widen=self.widen
            )
            row |= zip(names, nll, strict=True)
            row |= {"reconstruction": bound.reconstruction, "kl": bound.kl, "elbo": bound.nll}
            without = prior_reconstruction(model, batch, self.seed)
            row["prior_gap"] = without - bound.reconstruction
            self.aggregate.add(bound.posterior, bound.kl_dimensions)
            row["correct"] = correct_tokens(model, batch, bound.posterior.mean)
            self._decode(model, batch, bound.posterior.mean)
        for name, values in row.items():
            self.columns.setdefault(name, []).append(values.double().cpu())

    def _decode(self, model: SequenceVAE, batch: Batch, z: Tensor) -> None:
        lengths = batch.lengths.tolist()
        # Twice the longest input is enough to tell that a text does not end.
        most = min(self.max_length, 2 * batch.values.shape[1] + 16)
        for ids, values, length in zip(
            greedy(model, z, most), batch.values.tolist(), lengths, strict=True
        ):
            true = values[1 : length - 1]
            self.exact += ids == true
            self.said.append(self.tokenizer.decode(ids))
            self.meant.append(self.tokenizer.decode(true))

    def result(self) -> dict[str, Any]:
        columns = {name: torch.cat(parts) for name, parts in self.columns.items()}
        tokens = columns.pop("tokens").sum()
        out: dict[str, Any] = {"tokens": int(tokens), "samples": self.samples}
        if self.widen:
            out["widened"] = self.widen
        correct = columns.pop("correct", None)
        for name, values in columns.items():
            out[name] = float(values.mean())
            if len(values) > 1:
                out[f"{name}_se"] = float(values.std() / math.sqrt(len(values)))
        if correct is None:
            del out["samples"]
            return out
        diagnosis = asdict(self.aggregate.diagnose(self.seed))
        out |= diagnosis | {"kl_by_dimension": diagnosis["kl_by_dimension"].tolist()}
        out |= by_level(self.model.need_latent(), self.aggregate, self.seed)
        out["token_accuracy"] = float(correct.sum() / tokens)
        out["exact_match"] = self.exact / len(self.said)
        out["bleu"] = bleu(self.said, self.meant)
        return out


def _check(model: SequenceVAE, corpus: Corpus) -> None:
    size = getattr(model.likelihood, "vocabulary", None)
    if size != corpus.tokenizer.vocab_size:
        raise UserError(
            f"{corpus.path}: {corpus.tokenizer.vocab_size} pieces in the tokenizer, {size} in the "
            "model; evaluate on the corpus the model was trained on"
        )


def _spread(size: int, limit: int | None) -> np.ndarray:
    """Which of `size` sequences to use: `limit` of them, evenly spaced."""
    chosen = np.zeros(size, bool)
    count = size if limit is None else min(limit, size)
    chosen[np.linspace(0, size - 1, count).round().astype(np.int64)] = True
    return chosen


def _batches(loader: Loader, chosen: np.ndarray) -> Iterator[RawBatch]:
    for indices in loader.epoch_batches(0):
        kept = indices[chosen[indices]]
        if len(kept):
            yield loader.collate(kept)


def _views(report: Report, words: int, size: int) -> None:
    nats = report["nll_iw"] * report["sequences"]
    report["words"], report["bytes"] = words, size
    report["bits_per_byte"] = nats / math.log(2) / max(size, 1)
    report["perplexity_word"] = math.exp(min(nats / (words + report["sequences"]), 700.0))


def _levels(report: Report, name: str) -> list[tuple[str, str]]:
    """Rows of a measure that there is of each level."""
    numbers = range(1, len(level_kls(report)) + 1)
    given = [f"    of level {n}" + (", given those above" if n > 1 else "") for n in numbers]
    return [
        (said, f"{report[f'{name}_{n}']:9.3f} nats")
        for n, said in zip(numbers, given, strict=True)
        if f"{name}_{n}" in report
    ]


def format_report(report: Report) -> str:
    """The report as a table in words."""

    def nats(name: str) -> str:
        error = report.get(f"{name}_se")
        return f"{report[name]:9.3f} nats" + ("" if error is None else f"  ± {error:.3f}")

    rows = [
        ("sequences", f"{report['sequences']} of split {report['split']}"),
        ("tokens", f"{report['tokens']}, end tokens counted"),
    ]
    if report["skipped"]:
        rows.append(("skipped", f"{report['skipped']} longer than the model can take"))
    latent = "kl" in report
    how = f"  (importance-weighted, K = {report['samples']})" if latent else "  (exact)"
    if "widened" in report:
        how = f"{how[:-1]}, proposal wider by {report['widened']:g} nats)"
    rows.append(("negative log-likelihood", nats("nll_iw") + how))
    for name in report:
        if name.startswith("nll_iw_") and not name.endswith("_se"):
            rows.append((f"  under the {name.removeprefix('nll_iw_')} prior", nats(name)))
    if "bits_per_byte" in report:
        rows += [
            ("  bits per byte", f"{report['bits_per_byte']:9.4f}"),
            ("  perplexity per word and end", f"{report['perplexity_word']:9.2f}"),
        ]
    if latent:
        mi, cap = report["mi"], report["mi_cap"]
        rows += [
            ("negative ELBO", nats("elbo")),
            ("  reconstruction", nats("reconstruction")),
            ("  KL, the rate of the latent", nats("kl")),
            *_levels(report, "kl"),
            ("mutual information", f"{mi:9.3f} nats  of at most {cap:.3f} = ln N"),
            *_levels(report, "mi"),
            ("aggregate from prior", f"{report['marginal_kl']:9.3f} nats"),
            ("prior gap", nats("prior_gap") + "  (lost when z says nothing)"),
            ("active units", f"{report['au']:5d} of {report['dimension']}"),
            ("token accuracy", f"{100 * report['token_accuracy']:9.2f} %"),
            ("exact match, greedy", f"{100 * report['exact_match']:9.2f} %"),
            ("BLEU, greedy", f"{report['bleu']:9.2f}"),
        ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
