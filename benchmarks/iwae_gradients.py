"""How much of the encoder's gradient is signal as the importance-weighted bound takes more samples.

    python -m benchmarks.iwae_gradients [CORPUS] [--name NAME]

A small text VAE is trained; then its encoder alone goes on with the ELBO, so that it approximates the posterior of the
decoder as it is, and is moved off by a little noise (as in Rainforth et al. 2018, arXiv 1802.04537). There the gradient of
the importance-weighted bound of some sentences is drawn many times, by the objective that training uses, for each K and
in each of its ways: naive, sticking the landing (stl) and doubly reparameterised (dreg). Theory: from some K on, the naive
one's signal-to-noise falls as 1 / sqrt(K) (Rainforth et al.) and the doubly reparameterised one's grows (Tucker et al. 2019,
arXiv 1810.04152). An encoder that is at the optimum for K = 1 has no signal there: exponents are fitted from K = 2 on.
The bound itself is measured on held-out sentences, with other noise for every K.

Results: benchmarks/results/iwae_gradients/NAME.json and NAME.png, and bar 4 of issue E. Three minutes on one core.
"""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import torch
import tyro
from torch import Tensor

from benchmarks.record import ledger, write_result
from seqvae import decoders, encoders
from seqvae.batch import Batch
from seqvae.config import Experiment, Model, Training
from seqvae.config_json import to_json
from seqvae.data.corpus import Corpus
from seqvae.data.factors import write_factored
from seqvae.data.loader import Loader
from seqvae.data.prepare import PrepareText, prepare_text
from seqvae.model import SequenceVAE
from seqvae.objectives import Elbo, Gradient, Importance, RateTarget
from seqvae.posteriors import Gaussian
from seqvae.training import load_text, train

FOLDER = "iwae_gradients"
SAMPLES = (1, 2, 4, 8, 16, 32, 64)
BOUND_SAMPLES = 512
"""Samples of each held-out sentence behind the bound of each K."""
OFF = 0.01
"""Deviation of the noise on the encoder's weights."""
SIGMAS = 2.0
"""Standard errors by which a difference must be one."""


@dataclass(frozen=True)
class Signal:
    """Of many draws of one gradient.

    Attributes:
        ratio: |mean| / sqrt(trace of the covariance), over all weights of the encoder.
        error: its standard error (jackknife).
    """

    ratio: float
    error: float


def signal(draws: Tensor, same_mean: Tensor | None = None) -> Signal:
    """Signal-to-noise of gradients [N, P].

    The squared length of a mean of N draws holds 1 / N of their noise, which is taken away: otherwise
    a gradient of nothing but noise would have a ratio of 1 / sqrt(N).

    Args:
        draws: the gradients.
        same_mean: clearer ones of the same expectation, draw by draw with the same noise; the length of the
            mean is then theirs.
    """
    noisy = _products(draws)
    clear = noisy if same_mean is None else _products(same_mean)

    def ratio(kept: Tensor) -> float:
        (length, _), (_, noise) = (
            _length_and_noise(each[kept][:, kept]) for each in (clear, noisy)
        )
        # With the sign: a ratio within its error of 0 may come out below.
        return math.copysign(math.sqrt(abs(length) / noise), length)

    count = len(draws)
    everything = torch.ones(count, dtype=torch.bool)
    without = [ratio(everything & (torch.arange(count) != out)) for out in range(count)]
    parts = torch.tensor(without, dtype=torch.float64)
    spread = (parts - parts.mean()).square().sum() * (count - 1) / count
    return Signal(ratio(everything), float(spread.sqrt()))


def _products(draws: Tensor) -> Tensor:
    return draws.double() @ draws.double().t()


def _length_and_noise(products: Tensor) -> tuple[float, float]:
    """|E g|^2 and the trace of g's covariance, both without bias, from the products of all draws."""
    count = len(products)
    mean = float(products.mean())
    noise = (float(products.diagonal().mean()) - mean) * count / (count - 1)
    return mean - noise / count, noise


def fit_encoder(model: SequenceVAE, batches: Iterator[Batch], steps: int) -> None:
    """Train the encoder alone on the ELBO and move it off a little.

    After a training with another weight of the KL it is far from the decoder's posterior, and its
    gradient is all signal whatever K.
    """
    latent = model.need_latent()
    weights = [*latent.encoder.parameters(), *latent.posterior.parameters()]
    optimizer = torch.optim.Adam(weights, lr=2e-3)
    objective = Elbo().build()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        terms = model(next(batches), torch.tensor([step]))
        optimizer.zero_grad()
        objective(terms, 1.0).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in weights:
            weight.add_(OFF * torch.randn(weight.shape, generator=generator))


def gradients(
    model: SequenceVAE, batch: Batch, samples: int, gradient: Gradient, draws: int
) -> Tensor:
    """Of the encoder and the posterior, shape [N, P]; draw n has the same noise for each `gradient`."""
    latent = model.need_latent()
    weights = [*latent.encoder.parameters(), *latent.posterior.parameters()]
    objective = Importance(samples, gradient).build()
    found = []
    for draw in range(draws):
        terms = model(batch, torch.tensor([draw]), objective.samples, objective.gradient)
        each = torch.autograd.grad(objective(terms, 1.0).total, weights)
        found.append(torch.cat([part.flatten() for part in each]))
    return torch.stack(found)


def log_weights(model: SequenceVAE, batch: Batch, seed: int) -> Tensor:
    """log p(x, z_s) - log q(z_s | x) in nats of `BOUND_SAMPLES` samples, shape [S, B]."""
    found = []
    with torch.inference_mode():
        for part in range(BOUND_SAMPLES // SAMPLES[-1]):
            terms = model(batch, torch.tensor([seed * BOUND_SAMPLES + part]), SAMPLES[-1], "naive")
            assert terms.log_ratio is not None
            found.append(terms.log_ratio - terms.reconstruction)
    return torch.cat(found)


def bound(weights: Tensor, samples: int) -> Tensor:
    """The bound of K samples in nats, shape [B]: the mean over all groups of K among the log-weights [S, B]."""
    groups = weights.view(-1, samples, weights.shape[1])
    return -(groups.logsumexp(1) - math.log(samples)).mean(0)


def experiment(corpus: Path, run: Path, steps: int) -> Experiment:
    """What is trained: small enough to be drawn thousands of gradients from."""
    return Experiment(
        data=str(corpus),
        run=str(run),
        objective=RateTarget(rate=8.0),
        model=Model(
            encoder=encoders.Gru(width=64),
            posterior=Gaussian(8),
            decoder=decoders.Gru(width=64),
        ),
        training=Training(steps=steps, tokens_per_batch=1024, guard="off", threads=1, device="cpu"),
    )


def main(
    corpus: tyro.conf.Positional[Path | None] = None,
    name: str = "synthetic",
    steps: int = 400,
    sentences: int = 16,
    draws: int = 150,
    held_out: int = 500,
) -> None:
    """Measure and record bar 4 of issue E.

    Args:
        corpus: folder of `seqvae prepare`; by default sentences of a small grammar, made anew.
        name: of the corpus in the results.
        steps: of training, and of the encoder's alone.
        sentences: whose gradient is drawn, as one batch.
        draws: of each gradient.
        held_out: sentences of the test split for the bound.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = corpus or _synthetic(Path(folder))
        wanted = experiment(data, Path(folder) / "run", steps)
        train(wanted)
        model = load_text(wanted.run, "last").model.eval()
        opened = Corpus.open(data)
        fit_encoder(model, _batches(opened), steps)
        learning = _sentences(opened, "train", sentences)
        payload = measure(model, learning, _sentences(opened, "test", held_out), draws)
    payload["experiment"] = to_json(replace(wanted, data=name, run=""))
    path = write_result(f"{FOLDER}/{name}", payload)
    _figure(path.with_suffix(".png"), payload)
    print(_in_words(payload))
    ledger("E", _bars(name, payload, path))


def measure(model: SequenceVAE, learning: Batch, held: Batch, draws: int) -> dict[str, Any]:
    """The signal of each gradient for each K on `learning`, and the bound for each K on `held`."""
    kinds: tuple[Gradient, ...] = get_args(Gradient)
    ratios: dict[Gradient, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for samples in SAMPLES:
        drawn = {kind: gradients(model, learning, samples, kind, draws) for kind in kinds}
        for kind, rows in ratios.items():
            found = signal(drawn[kind], drawn["dreg"] if kind == "naive" else None)
            row = {"samples": samples, "ratio": found.ratio, "error": found.error}
            if kind == "naive":
                own = signal(drawn[kind])
                row |= {"ratio_of_own_mean": own.ratio, "error_of_own_mean": own.error}
            rows.append(row)
    weights = {samples: log_weights(model, held, samples) for samples in SAMPLES}
    nll = {samples: bound(found, samples) for samples, found in weights.items()}
    steps = []
    for fewer, more in pairwise(SAMPLES):
        # The same samples in groups of both sizes: without that the last gains drown in noise.
        paired = bound(weights[more], fewer) - nll[more]
        fresh = nll[fewer] - nll[more]
        steps.append(
            {
                "from": fewer,
                "to": more,
                "gain": float(paired.mean()),
                "error": _error(paired),
                "gain_with_fresh_noise": float(fresh.mean()),
                "error_with_fresh_noise": _error(fresh),
            }
        )
    return {
        "signal_to_noise": ratios,
        "exponent": {kind: slope(rows) for kind, rows in ratios.items()},
        "bound": [
            {"samples": k, "nats": float(x.mean()), "error": _error(x)} for k, x in nll.items()
        ],
        "bound_steps": steps,
        "sentences": learning.size,
        "draws": draws,
        "held_out": held.size,
    }


def slope(rows: list[dict[str, float]]) -> float:
    """Exponent of K in the ratio from K = 2 on, by least squares on logarithms."""
    points = [(math.log(row["samples"]), math.log(max(row["ratio"], 1e-9))) for row in rows[1:]]
    x, y = (torch.tensor(column, dtype=torch.float64) for column in zip(*points, strict=True))
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def _error(values: Tensor) -> float:
    return float(values.double().std()) / math.sqrt(len(values))


def _synthetic(folder: Path) -> Path:
    text = write_factored(folder / "text.txt")
    out = folder / "corpus"
    prepare_text(
        PrepareText(inputs=(str(text),), out=out, vocab_size=100, byte_fallback=False),
        say=lambda notice: None,
    )
    return out


def _batches(corpus: Corpus) -> Iterator[Batch]:
    loader = Loader(corpus.split("train"), tokens_per_batch=512, seed=1)
    while True:
        yield Batch.from_raw(loader.next_batch())


def _sentences(corpus: Corpus, split: str, limit: int) -> Batch:
    """At most `limit` sentences of about the split's middle length."""
    loader = Loader(
        corpus.split(split), tokens_per_batch=1 << 20, seed=0, shuffle=False, max_batch=limit
    )
    batches = loader.epoch_batches(0)
    return Batch.from_raw(loader.collate(batches[(len(batches) - 1) // 2]))


def _in_words(payload: dict[str, Any]) -> str:
    lines = ["K       " + "".join(f"{samples:>16}" for samples in SAMPLES)]
    for kind, rows in payload["signal_to_noise"].items():
        shown = "".join(f"{row['ratio']:>9.3f} ± {row['error']:.3f}" for row in rows)
        lines.append(f"{kind:<8}{shown}   ~ K^{payload['exponent'][kind]:+.2f}")
    lines.append("bound   " + "".join(f"{row['nats']:>16.3f}" for row in payload["bound"]))
    gains = "".join(
        f"{row['gain']:>8.4f} ± {row['error']:.4f}"[-16:] for row in payload["bound_steps"]
    )
    return "\n".join([*lines, "gain    " + " " * 16 + gains])


def _bars(name: str, payload: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Bar 4's rows."""
    rows, exponent = payload["signal_to_noise"], payload["exponent"]
    grown, fallen = ((rows[kind][1], rows[kind][-1]) for kind in ("dreg", "naive"))
    steps = payload["bound_steps"]
    told = "; ".join(
        f"{kind} {rows[kind][1]['ratio']:.2f} at K = 2, {rows[kind][-1]['ratio']:.2f} at K = {SAMPLES[-1]}, "
        f"as K^{exponent[kind]:.2f}"
        for kind in rows
    )
    return [
        {
            "bar": "4",
            "what": f"signal-to-noise of the encoder's gradient over K on {name}",
            "target": f"grows with K for DReG, falls for naive, by {SIGMAS:g} standard errors",
            "figure": told,
            "met": _apart(grown[1], grown[0]) and _apart(fallen[0], fallen[1]),
            "result_file": path,
        },
        {
            "bar": "4",
            "what": f"importance-weighted bound over K on {name}",
            "target": f"each doubling of K from 1 to {SAMPLES[-1]} tightens it by {SIGMAS:g} standard errors",
            "figure": "gains in nats "
            + ", ".join(f"{row['gain']:.4f} ± {row['error']:.4f}" for row in steps),
            "met": all(row["gain"] > SIGMAS * row["error"] for row in steps),
            "result_file": path,
        },
    ]


def _apart(greater: dict[str, float], less: dict[str, float]) -> bool:
    error = math.hypot(greater["error"], less["error"])
    return greater["ratio"] - less["ratio"] > SIGMAS * error


def _figure(path: Path, payload: dict[str, Any]) -> None:
    """The ratios and the bound over K."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for kind, rows in payload["signal_to_noise"].items():
        values, errors = [row["ratio"] for row in rows], [row["error"] for row in rows]
        left.errorbar(SAMPLES, values, errors, marker="o", ms=4, capsize=2, label=kind)
    left.set(yscale="log", xlabel="samples K", ylabel="signal-to-noise of the encoder's gradient")
    left.legend()
    # From the last bound upwards by the paired gains: their errors are those of the steps.
    rows = payload["bound_steps"]
    gaps = [sum(row["gain"] for row in rows[at:]) for at in range(len(rows) + 1)]
    right.errorbar(
        SAMPLES, gaps, [*(row["error"] for row in rows), 0.0], marker="o", ms=4, capsize=2
    )
    right.set(xlabel="samples K", ylabel=f"bound above that of K = {SAMPLES[-1]}, nats")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.cli(main)
