"""The one dial: trains at several rates and compares the KL that comes out with the one asked for.

    python -m benchmarks.rate_dial CORPUS --work runs/rate_dial

The KL is measured on whole held-out splits, with the weights that `seqvae train` keeps as the best. A training that was
interrupted goes on, so the same command can run again.
"""

from dataclasses import replace
from pathlib import Path

import tyro

from benchmarks.record import ledger, write_result
from seqvae.batch import Batch
from seqvae.config import Preset, preset
from seqvae.data.corpus import Corpus
from seqvae.data.loader import Loader
from seqvae.evaluation.likelihood import elbo
from seqvae.model import SequenceVAE
from seqvae.training import load, train

TOLERANCE = 0.05


def kl(model: SequenceVAE, corpus: Corpus, split: str, max_length: int) -> float:
    """Mean KL of a split in nats per sequence."""
    store = corpus.split(split)
    loader = Loader(
        store,
        tokens_per_batch=8192,
        seed=0,
        shuffle=False,
        max_length=max_length,
        pairs=corpus.has_pairs,
    )
    total, count = 0.0, 0
    for indices in loader.epoch_batches(0):
        batch = Batch.from_raw(loader.collate(indices))
        total += float(elbo(model, batch).kl.double().sum())
        count += batch.size
    return total / count


def main(
    corpus: tyro.conf.Positional[Path],
    /,
    work: Path = Path("runs/rate_dial"),
    rates: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0),
    size: Preset = "tiny",
    epochs: float | None = None,
    threads: int | None = None,
    smoke: bool = False,
) -> None:
    """Train at several rates and report the KL on held-out text.

    Args:
        corpus: prepared text.
        work: folder for the runs.
        rates: nats per sequence asked for.
        size: preset.
        epochs: passes over the corpus; by default the preset's.
        threads: CPU threads; by default torch's choice.
        smoke: a few steps, to see that it runs; nothing is recorded.
    """
    data = Corpus.open(corpus)
    rows = []
    for rate in rates[:1] if smoke else rates:
        base = preset(size, rate)
        training = replace(base.training, threads=threads)
        if epochs is not None:
            training = replace(training, epochs=epochs)
        if smoke:
            training = replace(training, steps=3, validate_sequences=16)
        run = work / (f"smoke-{rate:g}" if smoke else f"{corpus.name}-{size}-{rate:g}")
        experiment = replace(base, data=str(corpus), run=str(run), training=training)
        train(experiment, overwrite=smoke)
        model = load(run).model
        row: dict[str, float] = {"asked": rate}
        for split in ("valid", "test"):
            row[split] = kl(model, data, split, base.model.max_length)
            row[f"{split}_error"] = row[split] / rate - 1
        rows.append(row)
        print(f"asked {rate:g}: valid {row['valid']:.2f}, test {row['test']:.2f} nats")
    if smoke:
        return
    worst = max(abs(row["test_error"]) for row in rows)
    path = write_result("rate_dial", {"corpus": corpus.name, "preset": size, "rates": rows})
    ledger(
        "A",
        [
            {
                "bar": "3",
                "what": f"KL on test against the rate asked for, {', '.join(f'{r:g}' for r in rates)} nats",
                "target": f"<= {TOLERANCE:.0%}",
                "figure": f"{worst:.1%}",
                "met": worst <= TOLERANCE,
                "result_file": path,
            }
        ],
    )


if __name__ == "__main__":
    tyro.cli(main)
