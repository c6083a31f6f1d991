"""A bundle of frames in its engine does what the model does in PyTorch, and says what it cannot."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.frames_export import export_frames
from seqvae.serving import Converter, Engine, FramesEngine
from seqvae.serving.open_model import open_model
from seqvae.tasks.frames_model import FramesModel
from tests.export.framed import CONDITIONAL, FEATURES, LABELS, LONGEST, frames_model, sequences
from tests.export.toy_bundle import make

COUNT = 300
"""More than one call takes."""


@pytest.fixture(scope="module")
def model() -> FramesModel:
    return frames_model(CONDITIONAL)


@pytest.fixture(scope="module")
def engine(model: FramesModel, tmp_path_factory: pytest.TempPathFactory) -> FramesEngine:
    bundle = export_frames(model, tmp_path_factory.mktemp("bundle") / "frames")
    return FramesEngine(bundle, threads=1)


def names(count: int, shift: int = 0) -> list[str]:
    return [LABELS[(row + shift) % len(LABELS)] for row in range(count)]


def alike(found: list[Any], wanted: list[Any]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape and one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_every_task_is_that_of_the_model(model: FramesModel, engine: FramesEngine) -> None:
    given, labels = sequences(COUNT), names(COUNT)
    z = engine.encode(given, labels)
    np.testing.assert_allclose(z, model.encode(given, labels), atol=1e-5)
    alike(engine.reconstruct(given, labels), model.reconstruct(given, labels))
    lengths = [len(values) for values in given]
    alike(engine.decode(z, lengths, labels), model.decode(z, lengths, labels))
    alike(engine.decode(z[:2], 4, labels[:2]), model.decode(z[:2], 4, labels[:2]))
    alike(engine.sample(COUNT, seed=-7), model.sample(COUNT, seed=-7))
    alike(
        engine.sample(2, length=3, labels=["three"] * 2, temperature=0.5, seed=2),
        model.sample(2, length=3, labels=["three"] * 2, temperature=0.5, seed=2),
    )
    walk = engine.interpolate(given[1], given[2], 5, labels[:2])
    alike(walk, model.interpolate(given[1], given[2], 5, labels[:2]))


def test_read_under_one_label_and_written_under_another(
    model: FramesModel, engine: FramesEngine
) -> None:
    given, labels, targets = sequences(9), names(9), names(9, 1)
    lengths = [len(values) for values in given]
    switched = engine.reconstruct(given, labels, targets=targets)
    alike(switched, model.decode(model.encode(given, labels), lengths, targets))
    alike(switched, model.reconstruct(given, labels, targets=targets))
    same = engine.reconstruct(given, labels, targets=labels)
    alike(same, engine.reconstruct(given, labels))
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(switched, same, strict=True))


def test_noise_is_of_the_posterior_and_its_seed(model: FramesModel, engine: FramesEngine) -> None:
    given, labels = sequences(COUNT), names(COUNT)
    drawn = engine.reconstruct(given, labels, noise_scale=0.7, seed=-3)
    alike(drawn, model.reconstruct(given, labels, noise_scale=0.7, seed=-3))
    (one,), label = sequences(1), ["two"]
    mean, log_variance = engine.posterior([one], label)
    given, labels = [one] * COUNT, label * COUNT
    drawn = engine.reconstruct(given, labels, noise_scale=2.0, seed=5)
    alike(drawn, engine.reconstruct(given, labels, noise_scale=2.0, seed=5))
    # The first of many are those of fewer; another seed writes something else.
    alike(drawn[:3], engine.reconstruct(given[:3], labels[:3], noise_scale=2.0, seed=5))
    other = engine.reconstruct(given, labels, noise_scale=2.0, seed=6)
    assert not np.allclose(drawn[0], other[0], atol=1e-4)
    z = mean + 2.0 * np.exp(0.5 * log_variance) * np.random.default_rng(0).normal(size=(3000, 5))
    wanted = np.stack(engine.decode(z, len(one), label * 3000))
    spread = np.stack(drawn).std(0)
    np.testing.assert_allclose(spread, wanted.std(0), rtol=0.3)


def test_a_sequence_is_the_same_in_any_company(engine: FramesEngine) -> None:
    given, labels = sequences(11), names(11)
    together = engine.reconstruct(given, labels)
    for row in range(11):
        alone = engine.reconstruct(given[row : row + 1], labels[row : row + 1])
        alike(alone, together[row : row + 1])


def test_it_checks_itself(engine: FramesEngine, tmp_path: Path) -> None:
    engine.warm_up()
    engine.check_golden()
    path = tmp_path / "copy"
    shutil.copytree(engine.bundle.path, path)
    # Weights of another model under this one's golden sequences.
    place = path / "golden" / "noise-7.cpu-fp32.npy"
    np.save(place, np.load(place) + np.float32(0.1))
    with (
        FramesEngine(Bundle.open(path, verify=False)) as changed,
        pytest.raises(UserError, match="golden check: 'noise-7' of variant cpu-fp32 differs"),
    ):
        changed.check_golden()


def test_mistakes_are_named(engine: FramesEngine) -> None:
    good, label = sequences(1), ["one"]
    for call, said in (
        (lambda: engine.encode([], []), "no sequence"),
        (lambda: engine.encode([np.zeros((2, 9))], label), "reads .frames, 3."),
        (lambda: engine.encode([np.zeros((8, FEATURES))], label), f"at most {LONGEST}"),
        (lambda: engine.encode([np.full((2, FEATURES), np.nan)], label), "not finite"),
        (lambda: engine.encode(good), "needs the label of each of 1 sequences; it knows one, two"),
        (lambda: engine.encode(good, ["four"]), "no label 'four'"),
        (lambda: engine.reconstruct(good, label, targets=["four"]), "no label 'four'"),
        (lambda: engine.reconstruct(good, label, targets=[]), "needs the label of each of 1"),
        (lambda: engine.reconstruct(good, label, noise_scale=-1.0), "noise_scale is -1.0; it must"),
        (lambda: engine.reconstruct(good, label, seed=2**63), "seed is .* a whole number from"),
        (lambda: engine.sample(2, temperature=np.inf), "temperature is inf"),
        (lambda: engine.sample(-1), "n is -1"),
        (lambda: engine.sample(1, length=8), "from 1 to 7 frames"),
        (lambda: engine.sample(1, length=0), "from 1 to 7 frames"),
        (lambda: engine.decode(np.zeros((1, 9)), None, label), r"z has the shape \(1, 9\)"),
        (lambda: engine.decode(np.full((1, 5), np.inf), None, label), "not finite"),
        (lambda: engine.interpolate(good[0], good[0], 1, ["one"] * 2), "steps is 1"),
    ):
        with pytest.raises(UserError, match=said):
            call()
    assert engine.sample(0) == [] and engine.decode(np.zeros((0, 5)), None, []) == []


def test_a_bundle_opens_in_its_own_engine_only(engine: FramesEngine, tmp_path: Path) -> None:
    path = engine.bundle.path
    for call, said in (
        (lambda: Engine(path), "bundle of frames; use seqvae.serving.FramesEngine"),
        (lambda: Converter(path), "bundle of frames; use seqvae.serving.FramesEngine"),
        (lambda: open_model(path), "bundle of frames, which is not served"),
        (lambda: FramesEngine(make(tmp_path / "toy").path), "bundle of text; use .*Engine for it"),
    ):
        with pytest.raises(UserError, match=said):
            call()


def test_it_runs_without_torch(engine: FramesEngine) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from seqvae.serving import FramesEngine\n"
        "found = FramesEngine(sys.argv[1]).sample(2, labels=['one', 'two'])\n"
        "print([one.shape for one in found])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(engine.bundle.path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "[(7, 3), (7, 3)]", done.stderr
