"""Tiny runs: how to describe, kill and compare them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae import decoders, encoders
from seqvae.config import Experiment, Model, Training
from seqvae.data.corpus import Corpus
from seqvae.posteriors import Gaussian
from seqvae.training import Trainer

STEPS = 16
GRU = Model(
    encoder=encoders.Gru(width=32),
    posterior=Gaussian(8),
    decoder=decoders.Gru(width=32),
    max_length=32,
)
TRANSFORMER = Model(
    encoder=encoders.Transformer(layers=1, width=32, heads=2),
    posterior=Gaussian(8),
    decoder=decoders.Transformer(layers=1, width=32, heads=2),
    max_length=32,
)


def lines() -> list[str]:
    """160 short sentences of a tiny grammar."""
    return [
        f"{a} {b} {c}"
        for a in ("the cat", "a dog", "my friend", "our king")
        for b in ("sees", "finds", "likes", "takes", "paints")
        for c in ("it", "the moon", "a long road", "two stones", "an apple", "us", "all", "him")
    ]


def experiment(
    corpus: Corpus,
    run: Path,
    *,
    model: Model = TRANSFORMER,
    **settings: Any,  # noqa: ANN401
) -> Experiment:
    """A run of `STEPS` steps; `settings` are of `Training`, or of `Experiment` where it has them."""
    own = {k: settings.pop(k) for k in ("objective", "latent", "seed") if k in settings}
    training = Training(
        steps=STEPS,
        tokens_per_batch=200,
        validate_every=8,
        validate_sequences=8,
        checkpoint_every=5,
        learning_rate=5e-3,
        threads=1,
        device="cpu",
    )
    return Experiment(
        data=str(corpus.path),
        run=str(run),
        model=model,
        training=replace(training, **settings),
        **own,
    )


class Killed(BaseException):
    """Stands for a signal."""


def kill_at(wanted: Experiment, step: int) -> None:
    """Train, but die before the step after `step` steps."""
    trainer = Trainer(wanted)
    take = trainer._train_step

    def step_or_die() -> tuple[int, dict[str, float]]:
        if trainer.step == step:
            raise Killed
        return take()

    trainer._train_step = step_or_die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        trainer.fit()


def rows(run: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines of a log, as strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (run / name).read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def result(run: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on interruptions."""
    checkpoint = max((run / "checkpoints").iterdir())
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    # Times lie in timing.jsonl, whose size the checkpoint notes.
    del state["files"]["timing.jsonl"]
    hashes = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    del hashes["state.json"]
    return {
        "metrics": (run / "metrics.jsonl").read_bytes(),
        "guard": (run / "guard.jsonl").read_bytes(),
        "best": json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8")),
        "last": json.loads((run / "last" / "manifest.json").read_text(encoding="utf-8")),
        "weights": hashes,
        "state": state,
    }
