"""Compares every variant with PyTorch, and refuses to ship one that says something else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqvae.data.text import BOS, EOS
from seqvae.errors import UserError
from seqvae.export.bundle import Written
from seqvae.export.bundle_manifest import MODEL, OPTIONS
from seqvae.export.golden import Case
from seqvae.export.graphs import Array, Graph
from seqvae.tasks.decode import token_likelihood
from seqvae.tasks.text_model import TextModel

TYPES = {"int64": np.int64, "float32": np.float32, "bool": np.bool_}


@dataclass(frozen=True)
class Limits:
    """What a variant may deviate by.

    Attributes:
        logits: relative L2 error of the logits along PyTorch's greedy path.
        greedy: least share of greedy rows with equal tokens.
        beam: greatest error of a beam's log-probability in nats, where its tokens are equal.
        batch: least share of rows that are alone what they are in a batch.
    """

    logits: float
    greedy: float = 0.0
    beam: float = float("inf")
    batch: float = 0.0


LIMITS = {
    "fp32": Limits(1e-5, greedy=1.0, beam=1e-4, batch=1.0),
    "int8": Limits(1e-2),
    "fp16": Limits(5e-3),
}
"""Per precision."""


@dataclass(frozen=True)
class Report:
    """How a variant compares.

    Attributes:
        variant: its name.
        figures: by name: errors, shares of equal rows, bytes, seconds.
        failures: what is beyond the limits, in words.
        written: what it wrote for each case.
    """

    variant: str
    figures: dict[str, float]
    failures: list[str] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)


def verify_variant(
    model: TextModel,
    folder: Path,
    cases: Sequence[Case],
    truth: Sequence[Written],
    *,
    precision: str,
    tokenizer: str,
) -> Report:
    """Run a variant's graphs on the cases and compare.

    Args:
        model: what was exported.
        folder: the variant's; its name is the variant's name.
        cases: rows to write.
        truth: what PyTorch wrote for them.
        precision: which of `LIMITS` hold.
        tokenizer: tier of the graphs.

    Raises:
        UserError: ONNX Runtime refuses a graph.
    """
    whole = Graph(folder / f"{MODEL}.onnx", extensions=tokenizer == "sentencepiece")
    writer = Writer(model, whole, tokenizer)
    written = writer.write(cases)
    alone = [writer.write([case])[0] for case in cases]
    figures = {
        "logits_error": logits_error(model, folder, cases, truth),
        **_equality(cases, written, truth),
        "batch_equal": _share([a.ids == b.ids for a, b in zip(alone, written, strict=True)]),
    }
    if model.model.latent is not None:
        figures["mean_error"] = _mean_error(model, folder, cases)
    figures["bytes"] = float(sum(path.stat().st_size for path in folder.iterdir()))
    figures["model_megabytes"] = (folder / f"{MODEL}.onnx").stat().st_size / 1e6
    figures["load_seconds"] = whole.load_seconds
    figures |= _speed(model, folder, whole, writer.feed(cases[:1]))
    return Report(folder.name, figures, failures(figures, LIMITS[precision]), written)


class Writer:
    """`model.onnx` with the rows of cases as its inputs.

    Args:
        model: its tokenizer serves graphs without one.
        graph: the open graph.
        tokenizer: tier of the graph.
    """

    def __init__(self, model: TextModel, graph: Graph, tokenizer: str) -> None:
        self.model, self.graph, self.tokenizer = model, graph, tokenizer

    def feed(self, cases: Sequence[Case]) -> dict[str, Any]:
        """All inputs of the graph for some rows."""
        feed: dict[str, Any] = {
            name: np.array([[case.all_options[name]] for case in cases], TYPES[known.dtype])
            for name, known in OPTIONS.items()
            if name in self.graph.options or name in self.graph.inputs
        }
        texts = [case.text for case in cases]
        if "text" in self.graph.inputs:
            feed["text"] = np.array(texts, object)
        elif "ids" in self.graph.inputs:
            feed["ids"], feed["lengths"] = batch_of(self.model, texts)
        return feed

    def write(self, cases: Sequence[Case]) -> list[Written]:
        """What the graph writes, all rows in one batch."""
        found = self.graph.run(self.feed(cases))
        log_prob, complete = found["log_prob"].reshape(-1), found["complete"].reshape(-1)
        rows = []
        for row, ids in enumerate(_output_ids(found)):
            kept = tuple(int(i) for i in ids if i)
            if self.graph.text_output:
                text = str(found[self.graph.text_output][row])
            else:
                text = self.model.tokenizer.decode(kept)
            rows.append(Written(text, kept, float(log_prob[row]), bool(complete[row])))
        return rows


def _output_ids(found: Mapping[str, Array]) -> Array:
    """Ids [B, T] among the outputs; where ids go in as well, they come out under another name."""
    return found["ids"] if "ids" in found else found["written"]


def batch_of(model: TextModel, texts: Sequence[str]) -> tuple[Array, Array]:
    """Ids [B, T] with start, end and padding, and lengths [B], of texts cropped to the model."""
    reader = TextModel(model.model, model.tokenizer, model.labels, model.info, crop=True)
    rows = [[BOS, *ids, EOS] for ids in reader.read(texts)]
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max(initial=2))), np.int64)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = row
    return ids, lengths


def logits_error(
    model: TextModel, folder: Path, cases: Sequence[Case], truth: Sequence[Written], rows: int = 8
) -> float:
    """Relative L2 error of the logits of `step.onnx`, fed with what PyTorch wrote greedily.

    Args:
        model: computes the wanted logits, all steps at once.
        folder: the variant's.
        cases: the greedy ones among them are used.
        truth: what PyTorch wrote.
        rows: most rows used.
    """
    greedy = [i for i, case in enumerate(cases) if case.is_greedy and truth[i].ids][:rows]
    ids = [truth[i].ids for i in greedy]
    values = np.zeros((len(ids), max(len(row) for row in ids)), np.int64)
    for place, row in zip(values, ids, strict=True):
        place[: len(row)] = row
    values = np.concatenate([np.full((len(ids), 1), BOS, np.int64), values], 1)
    z = None
    if model.model.latent is not None:
        texts = [cases[i].text for i in greedy]
        reader = TextModel(model.model, model.tokenizer, model.labels, model.info, crop=True)
        z = reader.encode(texts).mean
    with torch.no_grad():
        states = model.model.decode(torch.from_numpy(values), z)
        wanted = token_likelihood(model.model).logits(states).float().numpy()
    found = step_logits(folder, values[:, :-1], None if z is None else z.numpy())
    real = values[:, 1:] != 0
    return relative(found[real], wanted[real])


def step_logits(folder: Path, values: Array, z: Array | None) -> Array:
    """Logits [B, T, V] of `start.onnx` and then `step.onnx` along given tokens [B, T]."""
    step = Graph(folder / "step.onnx")
    state = start_state(folder, len(values), z)
    logits = []
    for position in range(values.shape[1]):
        feed = {name: value for name, value in state.items() if name in step.inputs}
        feed["token"] = values[:, position : position + 1]
        feed["position"] = np.array(position, np.int64)
        found = step.run(feed)
        logits.append(found.pop("logits"))
        state |= {name.removeprefix("n_"): value for name, value in found.items()}
    return np.stack(logits, 1)


def start_state(folder: Path, count: int, z: Array | None) -> dict[str, Array]:
    """What `start.onnx` gives before the first step."""
    start = Graph(folder / "start.onnx")
    if z is not None:
        return start.run({"z": z.astype(np.float32)})
    return start.run({"rows": np.zeros((count, 1), np.int64)})


def _mean_error(model: TextModel, folder: Path, cases: Sequence[Case]) -> float:
    """Greatest error of a posterior mean, in standard deviations of its posterior."""
    texts = sorted({case.text for case in cases})
    ids, lengths = batch_of(model, texts)
    found = Graph(folder / "encoder.onnx").run({"ids": ids, "lengths": lengths})
    reader = TextModel(model.model, model.tokenizer, model.labels, model.info, crop=True)
    wanted = reader.encode(texts).mean.numpy()
    deviation = np.exp(0.5 * found["log_variance"])
    return float((np.abs(found["mean"] - wanted) / deviation).max())


def _equality(
    cases: Sequence[Case], written: Sequence[Written], truth: Sequence[Written]
) -> dict[str, float]:
    rows = list(zip(cases, written, truth, strict=True))

    def equal(kind: str) -> float:
        return _share(
            [
                found.ids == wanted.ids and found.text == wanted.text
                for case, found, wanted in rows
                if kind == ("beam" if case.is_beam else "greedy" if case.is_greedy else "sampled")
            ]
        )

    errors = [
        abs(found.log_prob - wanted.log_prob)
        for case, found, wanted in rows
        if case.is_beam and found.ids == wanted.ids
    ]
    return {
        "greedy_equal": equal("greedy"),
        "sampled_equal": equal("sampled"),
        "beam_equal": equal("beam"),
        "beam_error": max(errors, default=0.0),
    }


def _speed(model: TextModel, folder: Path, whole: Graph, feed: dict[str, Any]) -> dict[str, float]:
    """Milliseconds, one thread, batch 1, on this machine's CPU whatever the variant is for."""
    step = Graph(folder / "step.onnx")
    latent = model.model.latent
    z = None if latent is None else np.zeros((1, latent.dimension), np.float32)
    state = start_state(folder, 1, z)
    one = {name: value for name, value in state.items() if name in step.inputs}
    one |= {"token": np.array([[BOS]], np.int64), "position": np.array(0, np.int64)}
    tokens = _output_ids(whole.run(feed)).shape[1]
    return {
        "step_ms": step.milliseconds(one),
        "token_ms": whole.milliseconds(feed) / max(1, tokens),
    }


def failures(figures: Mapping[str, float], limits: Limits) -> list[str]:
    """What is beyond the limits, in words; a figure that is not a number is."""
    bounds = [
        ("logits_error", figures["logits_error"] <= limits.logits, f"at most {limits.logits:g}"),
        ("greedy_equal", figures["greedy_equal"] >= limits.greedy, f"at least {limits.greedy:g}"),
        ("beam_error", figures["beam_error"] <= limits.beam, f"at most {limits.beam:g}"),
        ("batch_equal", figures["batch_equal"] >= limits.batch, f"at least {limits.batch:g}"),
    ]
    return [f"{name} {figures[name]:.3g} ({wanted})" for name, holds, wanted in bounds if not holds]


def relative(found: Array, wanted: Array) -> float:
    """Relative L2 error; that of anything not finite is infinite."""
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.linalg.norm(found - wanted) / max(float(np.linalg.norm(wanted)), 1e-30))


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 1.0


COLUMNS = {
    "logits_error": ("logits error", "{:.1e}"),
    "greedy_equal": ("greedy", "{:.1%}"),
    "sampled_equal": ("sampled", "{:.1%}"),
    "beam_equal": ("beam", "{:.1%}"),
    "batch_equal": ("alone = batch", "{:.1%}"),
    "model_megabytes": ("model.onnx", "{:.1f} MB"),
    "load_seconds": ("load", "{:.2f} s"),
    "step_ms": ("step", "{:.2f} ms"),
    "token_ms": ("token", "{:.2f} ms"),
}
"""What `table` shows: figure, its title and its form."""


def table(
    figures: Mapping[str, Mapping[str, float]],
    columns: Mapping[str, tuple[str, str]] = COLUMNS,
) -> str:
    """The comparison as plain text, a line for each variant.

    Args:
        figures: what was measured, by variant, as `seqvae.json` holds it.
        columns: figure, its title and its form.
    """
    rows = [("variant", *(title for title, _ in columns.values()))]
    for variant, known in figures.items():
        cells = (form.format(known[name]) for name, (_, form) in columns.items())
        rows.append((variant, *cells))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def refuse_failures(reports: Sequence[Report]) -> None:
    """Refuse variants beyond the limits.

    Raises:
        UserError: names each with what it measured and what is allowed.
    """
    bad = [report for report in reports if report.failures]
    if not bad:
        return
    told = "; ".join(f"{report.variant}: {', '.join(report.failures)}" for report in bad)
    good = [report.variant for report in reports if not report.failures]
    way_out = (
        f"leave them out: --variants {' '.join(good)}" if good else "report this with the table"
    )
    shown = table({report.variant: report.figures for report in reports})
    raise UserError(
        f"not written, because it does not say what PyTorch says: {told}; {way_out}\n{shown}"
    )
