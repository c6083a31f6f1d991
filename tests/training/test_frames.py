"""Runs on frames: every likelihood learns what is known of its data, resumes exactly, and says what is wrong."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae import load
from seqvae.cli import main
from seqvae.config import Experiment, Training
from seqvae.config_frames import Frames
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.noise import FrameNoise
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.decoders import FilmConv, Gru, Transformer
from seqvae.encoders import Gru as GruEncoder
from seqvae.errors import UserError
from seqvae.likelihoods import Bernoulli, Laplace, Normal, SeriesLikelihoodChoice
from seqvae.objectives import Elbo, FreeBits, LevelRates, ObjectiveChoice, RateTarget
from seqvae.posteriors import Gaussian, Vmf
from seqvae.schedules import Constant, Linear
from seqvae.tasks.frames_model import FramesModel
from seqvae.training import Trainer, kind_of, load_frames, train
from seqvae.training.frames_guard import FramesGuard
from tests.training.runs import kill_at, result, rows

STEPS, FEATURES = 6, 5


def stripes(count: int = 400, seed: int = 0) -> tuple[Any, Any]:
    """Bars that stand or move, from one of five places: 10 kinds, with some noise; and whether they move."""
    generator = np.random.default_rng(seed)
    speed, place = generator.integers(0, 2, count), generator.integers(0, FEATURES, count)
    column = (place[:, None] + speed[:, None] * np.arange(STEPS)) % FEATURES
    values = 0.9 * np.eye(FEATURES)[column] + 0.1 * generator.random((count, STEPS, FEATURES))
    return values, speed


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> FramesCorpus:
    folder = tmp_path_factory.mktemp("frames")
    values, speed = stripes()
    np.savez(folder / "stripes.npz", values=values, labels=speed)
    return prepare_frames(PrepareFrames(inputs=(folder / "stripes.npz",), out=folder / "corpus"))


SMALL = Frames(
    encoder=GruEncoder(width=64, dropout=0.0),
    posterior=Gaussian(4),
    decoder=Transformer(layers=1, width=32, heads=2, dropout=0.0),
    batch=40,
)


def experiment(
    corpus: FramesCorpus,
    run: Path,
    model: Frames = SMALL,
    objective: ObjectiveChoice | None = None,
    **settings: Any,  # noqa: ANN401
) -> Experiment:
    training = Training(
        steps=16,
        validate_every=8,
        checkpoint_every=5,
        learning_rate=1e-2,
        threads=1,
        device="cpu",
        weight_decay=0.0,
    )
    latent = settings.pop("latent", "vae")
    return Experiment(
        data=str(corpus.path),
        run=str(run),
        model=model,
        objective=objective or Elbo(Linear(end=0.5)),
        training=replace(training, **settings),
        latent=latent,
    )


def frames_model(run: Path) -> FramesModel:
    model = load(run)
    assert isinstance(model, FramesModel)
    return model


@pytest.mark.parametrize(
    ("likelihood", "steps"), [(Bernoulli(), 160), (Laplace(), 260)], ids=["bernoulli", "laplace"]
)
def test_a_run_learns_the_kinds_of_its_data(
    corpus: FramesCorpus, tmp_path: Path, likelihood: SeriesLikelihoodChoice, steps: int
) -> None:
    run = tmp_path / "run"
    model = replace(SMALL, likelihood=likelihood)
    measured = train(experiment(corpus, run, model, steps=steps, validate_every=steps // 2))
    # 10 kinds of equal frequency: z must carry ln 10 = 2.30 nats to tell them apart.
    assert measured["mi"] > 0.85 * math.log(10)
    assert kind_of(run) == "frames"
    trained, store = frames_model(run), corpus.split("test")
    clean = [store.sequence(i) for i in range(len(store))]
    again = trained.reconstruct(clean)
    right = [(a.argmax(1) == b.argmax(1)).all() for a, b in zip(again, clean, strict=True)]
    assert np.mean(right) > 0.8
    # Of new ones many move as those of the data do, of sequences at random 1 in 1500.
    drawn = np.stack(trained.sample(200)).argmax(2)
    moves = np.diff(drawn, axis=1) % FEATURES
    assert np.mean((moves == moves[:, :1]).all(1) & (moves[:, 0] < 2)) > 0.3


def test_a_run_resumes_exactly(corpus: FramesCorpus, tmp_path: Path) -> None:
    model = replace(SMALL, noise=FrameNoise(0.3, 0.1), conditional=True)
    straight, broken = (experiment(corpus, tmp_path / name, model) for name in ("a", "b"))
    train(straight)
    kill_at(broken, 11)
    train(broken)
    assert result(Path(broken.run)) == result(Path(straight.run))


@pytest.mark.parametrize(
    ("model", "latent"),
    [
        (replace(SMALL, decoder=Gru(width=64, dropout=0.0)), "vae"),
        (replace(SMALL, decoder=FilmConv(width=32, fine_width=16, layers=1, dropout=0.0)), "vae"),
        (replace(SMALL, autoregressive=True, frame_dropout=0.5), "vae"),
        (replace(SMALL, autoregressive=True), "none"),
    ],
    ids=["gru", "film", "autoregressive", "no latent"],
)
def test_every_decoder_trains_and_comes_back(
    corpus: FramesCorpus, tmp_path: Path, model: Frames, latent: str
) -> None:
    wanted = experiment(
        corpus, tmp_path / "run", model, latent=latent, steps=140, validate_every=70
    )
    measured = train(wanted)
    seen = rows(tmp_path / "run")
    first = next(row["bound"] for row in seen if row["split"] == "valid")
    # The data's own entropy at known kinds is that of its noise alone; unlearned, a frame costs 30 x ln 2 nats.
    assert measured["bound"] < min(first, 0.75 * STEPS * FEATURES * math.log(2))
    trained = frames_model(tmp_path / "run")
    assert np.stack(trained.sample(3, draw=True)).shape == (3, STEPS, FEATURES)


def test_lengths_that_vary_are_trained_on_judged_and_written(tmp_path: Path) -> None:
    values, lengths = stripes(120)[0], np.random.default_rng(0).integers(1, STEPS + 1, 120)
    np.savez(tmp_path / "ragged.npz", values=values, lengths=lengths)
    ragged = prepare_frames(PrepareFrames(inputs=(tmp_path / "ragged.npz",), out=tmp_path / "c"))
    for name, decoder in (
        ("gru", Gru(width=16)),
        ("film", FilmConv(width=16, fine_width=8, layers=1)),
    ):
        train(experiment(ragged, tmp_path / name, replace(SMALL, decoder=decoder), steps=4))
        trained = frames_model(tmp_path / name)
        given = [values[i, : lengths[i]] for i in range(6)]
        assert [len(x) for x in trained.reconstruct(given)] == lengths[:6].tolist()
        # What a sequence costs is its own affair: the others of its batch are longer or shorter.
        whole = trained.score(given, samples=4)
        alone = np.concatenate([trained.score([one], samples=4).nll_iw for one in given])
        np.testing.assert_allclose(whole.nll_iw, alone, rtol=1e-4)


def test_a_conditional_model_writes_the_label_it_is_told(
    corpus: FramesCorpus, tmp_path: Path
) -> None:
    model = replace(SMALL, conditional=True, likelihood=Normal())
    measured = train(experiment(corpus, tmp_path / "run", model, steps=200, validate_every=100))
    # Whether it moves is known: z is left with the place, ln 5 nats.
    assert measured["mi"] > 0.85 * math.log(5)
    trained = frames_model(tmp_path / "run")
    for label in trained.labels:
        moves = np.diff(np.stack(trained.sample(60, labels=[label] * 60)).argmax(2), axis=1)
        assert np.mean(moves % FEATURES == int(label)) > 0.65


def test_an_autoregressive_decoder_that_is_told_to_ignore_z_is_noticed(
    corpus: FramesCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = replace(SMALL, autoregressive=True)
    heavy = Elbo(Constant(30.0))
    train(experiment(corpus, tmp_path / "run", model, heavy, steps=80, validate_every=10))
    said = rows(tmp_path / "run", "guard.jsonl")
    assert any(row["event"] == "collapsed" and "remedy" in row["words"] for row in said)
    assert "of the frames" in said[0]["words"]


def test_the_guard_hides_frames_only_from_who_reads_them() -> None:
    seen = {
        "kl": 8.0,
        "mi": 0.1,
        "mi_cap": 5.0,
        "prior_gap": 9.0,
        "active_units": 3,
        "dimensions": 4,
    }
    reads = FramesGuard("remedy", autoregressive=True).examine(seen)
    blind = FramesGuard("remedy", autoregressive=False).examine(seen)
    assert reads is not None and reads.remedy == "word_dropout" and "frames" in reads.cure
    assert blind is not None and blind.remedy is None
    fine = seen | {"mi": 5.0}
    assert FramesGuard("remedy", autoregressive=True).examine(fine) is None


def test_what_does_not_go_together_is_named(corpus: FramesCorpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    values = 3.0 * stripes(60)[0]
    np.save(tmp_path / "wide.npy", values)
    wide = prepare_frames(PrepareFrames(inputs=(tmp_path / "wide.npy",), out=tmp_path / "wide"))
    refused: list[tuple[Experiment, str]] = [
        (experiment(wide, run), "bernoulli is for numbers from 0 to 1"),
        (
            experiment(wide, run, replace(SMALL, likelihood=Normal(), conditional=True)),
            "conditional",
        ),
        (experiment(corpus, run, objective=LevelRates()), "level-rates is for speech"),
        (replace(experiment(corpus, run), model=Experiment().model), "a corpus of frames"),
        (experiment(corpus, run, latent="none"), "--latent none needs"),
    ]
    for wanted, words in refused:
        with pytest.raises(UserError, match=words):
            Trainer(wanted)
    with pytest.raises(UserError, match="do not go together"):
        experiment(corpus, run, replace(SMALL, posterior=Vmf()), FreeBits(variant="dimension"))


def test_the_command_line_trains_by_what_it_is_given(corpus: FramesCorpus, tmp_path: Path) -> None:
    words = ["train", str(corpus.path), str(tmp_path / "run"), "--rate", "2", "--steps", "4"]
    words += ["--model.batch", "20", "model.likelihood:laplace", "--model.likelihood.scale", "0.5"]
    assert main(words) == 0
    info = load_frames(tmp_path / "run").info
    trained = info["experiment"]
    assert trained.objective == RateTarget(rate=2.0, floor=0.5)
    assert trained.frames.likelihood == Laplace(0.5) and trained.frames.batch == 20
    assert info["longest"] == STEPS and info["labels"] == ["0", "1"]
    with pytest.raises(UserError, match="is a frames run; a text run is needed"):
        trained.text  # noqa: B018
