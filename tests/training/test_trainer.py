import itertools
import json
import math
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqvae.config import Model, preset
from seqvae.data.corpus import Corpus
from seqvae.objectives import Elbo, RateTarget
from seqvae.training import Trainer, load, train
from seqvae.training.optimizer import build_optimizer, learning_rate
from tests.training.runs import GRU, TRANSFORMER, experiment, rows


def bounds(run: Path) -> list[float]:
    return [row["bound"] for row in rows(run) if row["split"] == "valid"]


@pytest.mark.parametrize("model", [TRANSFORMER, GRU], ids=["transformer", "gru"])
@pytest.mark.parametrize("latent", ["vae", "none"])
def test_training_lowers_the_bound(model: Model, latent: str, corpus: Corpus, run: Path) -> None:
    rate = 0.03 if model is GRU else 0.01
    measured = train(
        experiment(corpus, run, model=model, latent=latent, steps=60, learning_rate=rate)
    )
    found = bounds(run)
    assert found[-1] < 0.75 * found[0]
    assert found[-1] == measured["bound"]
    assert ("kl" in measured) == (latent == "vae")


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    corpus: Corpus, tmp_path: Path
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(experiment(corpus, tmp_path / name, seed=seed, steps=8))
    a, b, c = ((tmp_path / name / "metrics.jsonl").read_bytes() for name in "abc")
    assert a == b != c


def test_the_weights_validated_are_the_weights_loaded(corpus: Corpus, run: Path) -> None:
    trainer = Trainer(experiment(corpus, run, ema=0.8, objective=Elbo()))
    measured = trainer.fit()
    last, best = load(run, "last"), load(run, "best")
    assert trainer.ema is not None
    for name, value in last.model.state_dict().items():
        torch.testing.assert_close(value, trainer.ema.values[name], rtol=0, atol=0)
    assert trainer.validation.measure(last.model) == measured
    assert trainer.validation.measure(best.model)["bound"] == min(bounds(run))


def test_the_newest_weights_stand_in_for_the_best_until_the_rate_is_reached(
    corpus: Corpus, run: Path
) -> None:
    train(experiment(corpus, run, objective=RateTarget(rate=60.0)))
    state = json.loads((run / "best" / "state.json").read_text(encoding="utf-8"))
    assert state["step"] == 16


def test_bfloat16_autocast(corpus: Corpus, run: Path) -> None:
    trainer = Trainer(experiment(corpus, run, precision="bfloat16", steps=40, learning_rate=0.01))
    trainer.fit()
    assert bounds(run)[-1] < 0.7 * bounds(run)[0]
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


def test_bfloat16_of_a_gru(corpus: Corpus, run: Path) -> None:
    measured = train(experiment(corpus, run, model=GRU, precision="bfloat16", steps=4))
    assert math.isfinite(measured["bound"])


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform == "win32" or not (shutil.which("g++") or shutil.which("clang++")),
    reason="torch.compile needs a C++ compiler",
)
@pytest.mark.filterwarnings("default")
def test_a_compiled_run_is_near_an_eager_one(corpus: Corpus, tmp_path: Path) -> None:
    wanted = experiment(corpus, tmp_path / "eager", model=STILL, latent="none", steps=8)
    train(wanted)
    began = time.monotonic()
    train(
        replace(
            wanted,
            run=str(tmp_path / "compiled"),
            training=replace(wanted.training, compile=True),
        )
    )
    print(f"compiled run: {time.monotonic() - began:.0f} s")
    eager, compiled = bounds(tmp_path / "eager"), bounds(tmp_path / "compiled")
    assert compiled == pytest.approx(eager, rel=1e-3)


STILL = replace(
    TRANSFORMER,
    encoder=replace(TRANSFORMER.encoder, dropout=0.0),
    decoder=replace(TRANSFORMER.decoder, dropout=0.0),
)


def test_the_learning_rate_rises_and_falls() -> None:
    config = preset("tiny").training
    values = [learning_rate(config, step / 1000) for step in range(1001)]
    top = values.index(max(values))
    assert top == 50
    assert values[top] == config.learning_rate
    assert all(a < b for a, b in itertools.pairwise(values[1 : top + 1]))
    assert all(a > b for a, b in itertools.pairwise(values[top:]))
    assert values[-1] == pytest.approx(config.learning_rate * config.final_rate)
    assert learning_rate(replace(config, warmup=0.0), 0.0) == config.learning_rate


def test_decay_is_for_matrices_alone() -> None:
    experiment_ = preset("tiny")
    model = TRANSFORMER.build(30)
    groups = build_optimizer(model, experiment_.training).param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert all(p.dim() > 1 for p in groups[0]["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_pairs_and_labels_train(tmp_path: Path) -> None:
    from seqvae.data.prepare import PrepareText, prepare_text
    from tests.training.runs import lines

    table = "".join(f"{a}\t{a.replace('the ', 'that ')}\n" for a in lines())
    (tmp_path / "pairs.tsv").write_text("source\ttarget\n" + table, encoding="utf-8")
    corpus = prepare_text(
        PrepareText(
            inputs=(str(tmp_path / "pairs.tsv"),),
            out=tmp_path / "corpus",
            columns=("source", "target"),
            vocab_size=60,
            byte_fallback=False,
            valid=0.1,
            test=0.1,
        ),
        say=lambda notice: None,
    )
    measured = train(experiment(corpus, tmp_path / "run"))
    assert math.isfinite(measured["bound"])
