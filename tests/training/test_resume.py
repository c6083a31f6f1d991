import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqvae import decoders, encoders
from seqvae.config import write_config
from seqvae.data.corpus import Corpus
from seqvae.data.noise import Noise
from seqvae.objectives import Adversarial, Elbo, FreeBits, RateTarget
from seqvae.posteriors import Gaussian
from seqvae.schedules import Constant, Cyclical
from seqvae.training import Trainer, train
from tests.training.runs import GRU, STEPS, TRANSFORMER, experiment, kill_at, result, rows

ROOT = Path(__file__).parents[2]
BATCH_NORM = replace(TRANSFORMER, posterior=Gaussian(8, batch_norm=0.6))
TWO_LAYERS = replace(GRU, encoder=encoders.Gru(2, 32), decoder=decoders.Gru(2, 32))
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulate": {"accumulate": 2},
    "ema": {"ema": 0.9},
    "noise": {"noise": Noise(drop=0.1, blank=0.1, substitute=0.1, shuffle=2)},
    # A checkpoint falls on the step where the decoder starts afresh.
    "autoencoder": {"autoencoder": 10 / STEPS, "ema": 0.9},
    "autoencoder, no reset": {"autoencoder": 0.5, "reset_decoder": False},
    "aggressive": {"aggressive": 11, "steps": 10, "checkpoint_every": 4, "validate_every": 5},
    "tighten": {"tighten": 0.4, "tighten_samples": 3},
    "gru": {"model": TWO_LAYERS, "tighten": 0.2},
    "batch norm": {"model": BATCH_NORM, "accumulate": 2, "ema": 0.9},
    "word dropout": {"model": replace(TRANSFORMER, word_dropout=0.3)},
    "free bits": {"objective": FreeBits(nats=4.0, beta=Cyclical())},
    # The discriminator and its moments; until step 4 a phase has taken the objective's place.
    "adversarial": {"objective": Adversarial(), "accumulate": 2},
    "denoising adversarial": {
        "objective": Adversarial(),
        "noise": Noise(drop=0.3),
        "autoencoder": 4 / STEPS,
        "ema": 0.9,
    },
    "lagrangian": {"objective": RateTarget(rate=4.0, controller="lagrangian")},
    "language model": {"latent": "none"},
    "patience": {
        "objective": Elbo(),
        "patience": 1,
        "learning_rate": 0.3,
        "validate_every": 2,
        "checkpoint_every": 1,
    },
    # The remedy comes at step 8, between two checkpoints.
    "remedy": {"objective": Elbo(Constant(10.0)), "learning_rate": 0.02, "validate_every": 4},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_killed_and_resumed_equals_uninterrupted(name: str, corpus: Corpus, tmp_path: Path) -> None:
    whole = experiment(corpus, tmp_path / "whole", **OPTIONS[name])
    parts = replace(whole, run=str(tmp_path / "parts"))
    measured = train(whole)
    steps = rows(tmp_path / "whole")[-1]["step"]
    # Before the first checkpoint, after one, and with nothing left to do.
    kill_at(parts, 2)
    kill_at(parts, max(3, steps - 3))
    assert Trainer(parts).step > 0
    assert train(parts) == measured
    assert result(tmp_path / "parts") == result(tmp_path / "whole")
    assert train(parts) == measured
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_the_options_do_what_they_are_there_for(corpus: Corpus, tmp_path: Path) -> None:
    early = experiment(corpus, tmp_path / "early", **OPTIONS["patience"])
    train(early)
    assert rows(tmp_path / "early")[-1]["step"] < STEPS
    remedied = experiment(corpus, tmp_path / "remedied", **OPTIONS["remedy"])
    train(remedied)
    assert any("remedy" in row["words"] for row in rows(tmp_path / "remedied", "guard.jsonl"))


def test_a_finished_run_whose_last_weights_were_not_written_gets_them(
    corpus: Corpus, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqvae.training import state

    wanted = experiment(corpus, run, steps=8)

    class Kill(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Kill

    with monkeypatch.context() as patch:
        patch.setattr(state, "write_weights", die)
        with pytest.raises(Kill):
            train(wanted)
    train(wanted)
    assert (run / "last" / "model.safetensors").exists()


SCRIPT = """
import sys
from pathlib import Path
from seqvae.config import read_config
from seqvae.training import train
train(read_config(Path(sys.argv[1]))[0])
"""


def test_sigkill_at_a_random_moment(corpus: Corpus, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "steps": 30,
        "checkpoint_every": 4,
        "accumulate": 2,
        "ema": 0.9,
        "autoencoder": 0.2,
        "tighten": 0.3,
        "noise": Noise(drop=0.1),
        "model": BATCH_NORM,
    }
    whole = experiment(corpus, tmp_path / "whole", **settings)
    train(whole)
    parts = replace(whole, run=str(tmp_path / "parts"))
    config = tmp_path / "experiment.json"
    write_config(config, parts)
    metrics = tmp_path / "parts" / "metrics.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    began = time.monotonic()
    while time.monotonic() - began < 60 and process.poll() is None:
        if metrics.exists() and metrics.stat().st_size:
            break
        time.sleep(0.01)
    time.sleep(random.Random().uniform(0.0, 2.0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    train(parts)
    assert result(tmp_path / "parts") == result(tmp_path / "whole")


def test_a_moved_run_is_resumed(corpus: Corpus, tmp_path: Path) -> None:
    whole = experiment(corpus, tmp_path / "whole")
    train(whole)
    kill_at(experiment(corpus, tmp_path / "here"), 7)
    (tmp_path / "here").rename(tmp_path / "there")
    train(experiment(corpus, tmp_path / "there"))
    assert result(tmp_path / "there") == result(tmp_path / "whole")


def test_killed_between_moving_the_old_and_the_new_weights(corpus: Corpus, run: Path) -> None:
    wanted = experiment(corpus, run, steps=8)
    train(wanted)
    before = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
    (run / "best").rename(run / ".best.old")
    from seqvae.training import load

    load(run, "best")
    assert json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8")) == before
