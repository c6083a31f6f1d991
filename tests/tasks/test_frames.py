"""What a trained model of frames does: it writes, repairs, judges, in arrays and pictures."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from seqvae.cli import main
from seqvae.data.frames.corpus import FramesCorpus
from seqvae.data.frames.noise import FrameNoise
from seqvae.data.frames.prepare import PrepareFrames, prepare_frames
from seqvae.errors import UserError
from seqvae.evaluation.frames import evaluate_frames
from seqvae.evaluation.report import write_report
from seqvae.likelihoods import Laplace
from seqvae.tasks.frames_model import FramesModel
from seqvae.tasks.picture import contact_sheet
from seqvae.training import load_frames, train
from tests.training.test_frames import FEATURES, SMALL, STEPS, experiment, stripes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoiser trained on bars that stand still, with those that move held out; the numbers times 4."""
    folder = tmp_path_factory.mktemp("frames_tasks")
    values, moving = stripes()
    np.savez(folder / "bars.npz", values=4.0 * values, labels=moving)
    np.save(folder / "few.npy", 4.0 * values[:12])
    config = PrepareFrames(
        inputs=(folder / "bars.npz",), out=folder / "corpus", divide=4.0, unseen=("1",)
    )
    corpus = prepare_frames(config)
    model = replace(SMALL, noise=FrameNoise(gaussian=0.7))
    train(experiment(corpus, folder / "run", model, steps=150, validate_every=75))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> FramesModel:
    return load_frames(folder / "run")


def of_kind(folder: Path, label: int) -> list[Any]:
    store = FramesCorpus.open(folder / "corpus").split("test")
    return [store.sequence(i) for i in range(len(store)) if store.labels[i] == label]


def test_samples_follow_from_their_seed_and_temperature(model: FramesModel) -> None:
    first, again, other = (np.stack(model.sample(30, seed=s)) for s in (1, 1, 2))
    assert first.shape == (30, STEPS, FEATURES)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.stack(model.sample(30, seed=1, temperature=0.1)).std(0).mean() < first.std(0).mean()
    assert set(np.unique(np.stack(model.sample(5, draw=True)))) == {0.0, 1.0}
    assert [len(values) for values in model.sample(2, length=4)] == [4, 4]


def test_what_was_never_seen_is_surprising(folder: Path, model: FramesModel) -> None:
    seen, unseen = (model.score(of_kind(folder, label), samples=20) for label in (0, 1))
    assert np.median(unseen.nll_iw) > np.quantile(seen.nll_iw, 0.95)
    assert unseen.squared_error is not None and seen.squared_error is not None
    assert np.median(unseen.squared_error) > np.quantile(seen.squared_error, 0.95)
    # The bound is above the likelihood, but for the noise of the samples.
    assert (seen.nll_iw <= seen.elbo + 0.5).all() and (seen.kl > 0).all()


def test_a_denoiser_brings_back_what_was_there(folder: Path, model: FramesModel) -> None:
    clean = np.stack(of_kind(folder, 0))
    noisy = clean + 0.3 * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    repaired = np.stack(model.reconstruct(noisy))
    assert np.square(repaired - clean).mean() < 0.5 * np.square(noisy - clean).mean()


def test_noise_is_around_what_was_understood(folder: Path, model: FramesModel) -> None:
    given = of_kind(folder, 0)[:3]
    plain = np.stack(model.reconstruct(given))
    near, far = (
        np.stack([model.reconstruct(given, noise_scale=scale, seed=seed) for seed in range(30)])
        for scale in (0.1, 1.0)
    )
    assert 0 < near.std(0).mean() < 0.5 * far.std(0).mean()
    assert np.abs(near.mean(0) - plain).mean() < 0.5 * np.abs(far - plain).mean()


def test_a_walk_begins_and_ends_at_the_reconstructions(folder: Path, model: FramesModel) -> None:
    ends = of_kind(folder, 0)[:2]
    walk = model.interpolate(ends[0], ends[1], steps=5)
    both = model.reconstruct(ends)
    np.testing.assert_allclose(walk[0], both[0], atol=1e-5)
    np.testing.assert_allclose(walk[-1], both[1], atol=1e-5)


def test_the_report_bounds_and_counts(folder: Path, model: FramesModel) -> None:
    corpus = FramesCorpus.open(folder / "corpus")
    report = evaluate_frames(model.model, corpus, "valid", samples=30, progress=False)
    assert report["sequences"] == len(corpus.split("valid"))
    assert report["numbers"] == report["sequences"] * STEPS * FEATURES
    assert (
        report["nll_iw"] < report["elbo"] == pytest.approx(report["reconstruction"] + report["kl"])
    )
    assert report["measure"] == "cross-entropy"
    assert report["squared_error"] < 0.5 * report["variance"]
    bits = report["nll_iw"] / (STEPS * FEATURES) / np.log(2)
    assert report["bits_per_dimension"] == pytest.approx(bits)
    few = evaluate_frames(model.model, corpus, "valid", samples=30, limit=5, progress=False)
    assert few["sequences"] == 5
    assert "squared error of a number" in str(report)


def test_bits_are_those_of_the_datas_own_numbers(folder: Path, tmp_path: Path) -> None:
    """Numbers eight times as great: a density of them is 8 times thinner, a Laplace's nats stay."""
    bits = []
    for name, divide in (("small", 4.0), ("large", 0.5)):
        config = PrepareFrames(
            inputs=(folder / "bars.npz",), out=tmp_path / name, divide=divide, valid=0.0, test=0.0
        )
        corpus = prepare_frames(config)
        wanted = experiment(corpus, tmp_path / f"run-{name}", replace(SMALL, likelihood=Laplace()))
        train(replace(wanted, training=replace(wanted.training, steps=2, validate_every=1)))
        loaded = load_frames(tmp_path / f"run-{name}").model
        report = evaluate_frames(loaded, corpus, "train", samples=2, limit=50, progress=False)
        bits.append(report["bits_per_dimension"])
    assert bits[1] - bits[0] == pytest.approx(3.0, abs=0.02)


def test_the_verbs_read_and_write_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, few = str(folder / "run"), str(folder / "few.npy")
    out = [
        str(tmp_path / f"{number}.{kind}")
        for number, kind in enumerate(["npy", "png", "npz", "png"])
    ]
    assert main(["sample", run, "--out", out[0], "--n", "7", "--draw"]) == 0
    assert np.load(out[0]).shape == (7, STEPS, FEATURES)
    assert main(["reconstruct", run, few, "--out", out[1]]) == 0
    # Two rows of ten and the rest, given and written, each with its border.
    assert imread(out[1]).shape[:2] == (4 * (STEPS * 8 + 2), 10 * (FEATURES * 8 + 2))
    assert main(["denoise", run, few, "--out", out[2], "--limit", "3"]) == 0
    assert np.load(out[2])["lengths"].tolist() == [STEPS] * 3
    assert main(["interpolate", run, few, "--out", out[3], "--start", "2", "--end", "5"]) == 0
    capsys.readouterr()
    assert main(["score", run, few, "--samples", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12
    assert main(["evaluate", run, "--samples", "5", "--limit", "20"]) == 0
    assert "bits per number" in capsys.readouterr().out


def test_the_report_shows_what_it_writes_and_where_it_lies(folder: Path, tmp_path: Path) -> None:
    page = write_report(folder / "run", out=tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<img src=") == 3 and "Frames VAE, objective Elbo" in page
    assert "sentence" not in page and "A map of the latent" in page and "preset tiny" in page
    moved = replace_data(folder, tmp_path)
    alone = write_report(moved, out=tmp_path / "alone.html").read_text(encoding="utf-8")
    assert alone.count("<img src=") == 1 and "cannot be opened" in alone
    with pytest.raises(UserError, match="is not what"):
        other = prepare_frames(PrepareFrames(inputs=(folder / "few.npy",), out=tmp_path / "other"))
        write_report(folder / "run", corpus=other, out=tmp_path / "no.html")


def replace_data(folder: Path, tmp_path: Path) -> Path:
    """A copy of the run whose corpus is gone."""
    shutil.copytree(folder / "run", tmp_path / "moved")
    config = tmp_path / "moved" / "config.json"
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace(str(folder / "corpus"), str(tmp_path / "gone")), encoding="utf-8"
    )
    return tmp_path / "moved"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample", "RUN", "--out", "x.txt"], "name a .png, a .npy or a .npz"),
        (["sample", "RUN", "--out", "x.npy", "--length", "9"], "from 1 to 6 frames"),
        (["sample", "RUN", "--out", "x.npy", "--length", "0"], "from 1 to 6 frames"),
        (["sample", "RUN", "--out", "x.npy", "--temperature", "0"], "temperature must be above 0"),
        (["interpolate", "RUN", "FEW", "--out", "x.npy", "--end", "12"], "has 12 sequences"),
        (["score", "RUN", "gone.npy"], "gone.npy: no such file"),
        (["reconstruct", "RUN", "FEW", "--out", "x.npy", "--target", "1"], "knows no labels"),
        (
            ["reconstruct", "RUN", "FEW", "--out", "x.npy", "--noise-scale", "-1"],
            "noise_scale must be 0 or more",
        ),
        (["export", "RUN", "OUT", "--opset", "7"], "opset is 7; it must be 18 to 25"),
        (["fit-prior", "RUN"], "is a frames run"),
        (["paraphrase", "RUN", "a"], "is a frames run"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_named(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    places = {"RUN": folder / "run", "FEW": folder / "few.npy", "OUT": tmp_path / "out"}
    assert main([str(places.get(word, word)) for word in words]) == 2
    assert said in capsys.readouterr().err


def test_sequences_that_do_not_fit_are_refused(model: FramesModel) -> None:
    for given, said in (
        ([np.zeros((3, 2))], r"sequence 0 has the shape \(3, 2\)"),
        ([np.zeros((9, FEATURES))], "reads at most 6"),
        ([np.full((3, FEATURES), np.nan)], "not finite"),
        ([], "no sequence"),
    ):
        with pytest.raises(UserError, match=said):
            model.encode(given)


def test_a_picture_is_black_at_the_least_and_white_at_the_greatest() -> None:
    sheet = contact_sheet([[np.array([[0.0, 2.0]]), np.array([[5.0, -5.0]])]], 0.0, 2.0)
    values, counts = np.unique(sheet, return_counts=True)
    assert values.tolist() == [0, 64, 255] and counts[0] == counts[2] == 2 * 24 * 24
