"""Runs on speech: what they write, and that kills do not show."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae.config_speech import Speech
from seqvae.data.noise import Noise
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.mix import NoiseMix
from seqvae.data.speech.prepare import PrepareSpeech, prepare_speech
from seqvae.errors import UserError
from seqvae.objectives import Elbo, FreeBits, LevelRates, RateTarget
from seqvae.priors import Hierarchical
from seqvae.schedules import Constant
from seqvae.training import Trainer, load_speech, train
from seqvae.training.material_speech import SpeechMaterial
from tests.training.runs import experiment, kill_at, result, rows
from tests.training.speech_runs import SPEECH, STEPS, speech_experiment

TABLE = replace(SPEECH, speakers="table")
DROPPED = replace(
    SPEECH,
    content=replace(SPEECH.content, dropout=0.2),
    decoder=replace(SPEECH.decoder, dropout=0.2),
)
NOISY = replace(SPEECH, noise=NoiseMix(probability=0.5))
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"model": DROPPED},
    "accumulate, ema": {"accumulate": 2, "ema": 0.9},
    "noise": {"model": NOISY, "accumulate": 2},
    "table": {"model": TABLE},
    "both, no pitch": {"model": replace(SPEECH, speakers="both", pitch=False)},
    "hierarchical": {"model": replace(SPEECH, style_prior=Hierarchical())},
    # A checkpoint falls on the step where the decoder starts afresh.
    "autoencoder": {"autoencoder": 10 / STEPS, "ema": 0.9},
    "aggressive": {"aggressive": 11, "steps": 6, "checkpoint_every": 3, "validate_every": 3},
    "tighten": {"tighten": 0.4, "tighten_samples": 3},
    "lagrangian": {"objective": LevelRates(content=200.0, controller="lagrangian")},
    # The remedy comes between two checkpoints.
    "remedy": {"objective": Elbo(Constant(30.0)), "learning_rate": 0.03, "validate_every": 4},
    "patience": {
        "objective": Elbo(),
        "patience": 1,
        "learning_rate": 0.3,
        "validate_every": 2,
        "checkpoint_every": 1,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_killed_and_resumed_equals_uninterrupted(
    name: str, speech: SpeechCorpus, tmp_path: Path
) -> None:
    whole = speech_experiment(speech, tmp_path / "whole", **OPTIONS[name])
    parts = replace(whole, run=str(tmp_path / "parts"))
    measured = train(whole)
    steps = rows(tmp_path / "whole")[-1]["step"]
    kill_at(parts, 2)
    kill_at(parts, max(3, steps - 2))
    assert Trainer(parts).step > 0
    assert train(parts) == measured
    assert result(tmp_path / "parts") == result(tmp_path / "whole")
    if name == "remedy":
        assert any(
            "remedy: from" in row["words"] for row in rows(tmp_path / "whole", "guard.jsonl")
        )
    if name == "patience":
        assert steps < STEPS


@pytest.mark.parametrize("model", [SPEECH, TABLE], ids=["encoder", "table"])
def test_training_lowers_the_cost_of_frames(model: Speech, speech: SpeechCorpus, run: Path) -> None:
    measured = train(speech_experiment(speech, run, model=model, steps=100, learning_rate=0.01))
    found = [row for row in rows(run) if row["split"] == "valid"]
    # Frames are standardised: nothing learned is 80 (ln 2 + 1) nats and less.
    assert found[-1]["reconstruction_frame"] < found[0]["reconstruction_frame"] - 10
    assert found[-1]["l1"] < 0.8 * found[0]["l1"]
    assert found[-1]["pitch"] < found[0]["pitch"]
    assert {"bit_rate", "leak", "leak_frame", "leak_chance", "prior_gap"} <= measured.keys()
    assert ("style" in measured) == (model is SPEECH)
    assert measured["leak_chance"] == 0.5
    trained = [row for row in rows(run) if row["split"] == "train"][-1]
    assert {"bit_rate", "content", "reconstruction_frame", "pitch_penalty"} <= trained.keys()
    assert rows(run, "timing.jsonl")[-1]["frames_per_second"] > 0


def test_the_rate_is_reached(speech: SpeechCorpus, run: Path) -> None:
    dial = LevelRates(content=150.0, style=3.0, integral=0.1)
    measured = train(
        speech_experiment(speech, run, objective=dial, steps=600, checkpoint_every=1000)
    )
    assert measured["bit_rate"] == pytest.approx(150.0, rel=0.25)
    trained = [row for row in rows(run) if row["split"] == "train"][-5:]
    assert np.mean([row["style"] for row in trained]) == pytest.approx(3.0, rel=0.25)


def test_a_run_is_ready_to_use(speech: SpeechCorpus, run: Path) -> None:
    trainer = Trainer(speech_experiment(speech, run, ema=0.8, objective=Elbo()))
    measured = trainer.fit()
    for which in ("best", "last"):
        model = load_speech(run, which)
        assert model.settings == speech.settings
        assert model.speakers == speech.train_speakers
        assert trainer.validation.measure(model.model)["l1"] > 0
    assert trainer.validation.measure(load_speech(run, "last").model) == measured
    costs = [row["reconstruction_frame"] for row in rows(run) if row["split"] == "valid"]
    best = trainer.validation.measure(load_speech(run, "best").model)
    assert best["reconstruction_frame"] == min(costs)


def test_bad_batches_without_end_stop_the_run(speech: SpeechCorpus, run: Path) -> None:
    trainer = Trainer(speech_experiment(speech, run, bad_steps=3))

    def spoil(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        return output * float("nan" if trainer.step > 3 else 1)

    trainer.model.levels["content"].encoder.register_forward_hook(spoil)
    with pytest.raises(UserError, match=r"3 steps in a row .*listen to what is broken"):
        trainer.fit()
    saved = json.loads((run / "bad_batch_6.json").read_text(encoding="utf-8"))
    assert len(saved["indices"]) == len(saved["recordings"]) == SPEECH.batch
    assert set(saved["speakers"]) <= set(speech.speakers)
    assert all(bool(x.isfinite().all()) for x in trainer.model.state_dict().values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": RateTarget()}, "RateTarget weighs one latent of a text"),
        ({"objective": FreeBits()}, "for speech use level-rates"),
        ({"latent": "none"}, "speech has none"),
        ({"noise": Noise(drop=0.1)}, r"--model\.noise\.probability"),
    ],
)
def test_settings_for_text_are_refused(
    change: dict[str, Any], words: str, speech: SpeechCorpus, run: Path
) -> None:
    with pytest.raises(UserError, match=words):
        train(speech_experiment(speech, run, **change))
    assert not run.exists()


def test_networks_and_data_must_be_of_one_kind(
    corpus: Any,  # noqa: ANN401
    speech: SpeechCorpus,
    run: Path,
) -> None:
    with pytest.raises(
        UserError, match="is a corpus of text, but the run's networks are for speech"
    ):
        train(replace(speech_experiment(speech, run), data=str(corpus.path)))
    with pytest.raises(
        UserError, match="is a corpus of speech, but the run's networks are for text"
    ):
        train(replace(experiment(corpus, run), data=str(speech.path)))
    with pytest.raises(UserError, match="level-rates is for speech"):
        train(experiment(corpus, run, objective=LevelRates()))
    assert not run.exists()


def test_other_recordings_in_the_same_folder(
    speech: SpeechCorpus, run: Path, tmp_path: Path
) -> None:
    train(speech_experiment(speech, run, steps=2))
    manifest = speech.path.parent / "manifest.jsonl"
    config = PrepareSpeech(
        inputs=(str(manifest),), out=tmp_path / "out", valid=0, test=2, workers=1
    )
    other = prepare_speech(config, say=lambda _: None)
    with pytest.raises(UserError, match="trained on other data"):
        train(speech_experiment(other, run, steps=2))


def test_without_recordings_held_out_those_trained_on_are_measured(
    speech: SpeechCorpus, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = speech.path.parent / "manifest.jsonl"
    config = PrepareSpeech(
        inputs=(str(manifest),), out=tmp_path / "out", valid=0, test=0, workers=1
    )
    corpus = prepare_speech(config, say=lambda _: None)
    measured = train(speech_experiment(corpus, run, steps=2))
    assert math.isfinite(measured["l1"])
    assert "has no recordings held out" in capsys.readouterr().err


def material(speech: SpeechCorpus, run: Path, model: Speech) -> SpeechMaterial:
    trainer = Trainer(speech_experiment(speech, run, model=model))
    assert isinstance(trainer.material, SpeechMaterial)
    return trainer.material


def test_the_encoder_of_the_content_reads_warped_and_filtered_frames(
    speech: SpeechCorpus, run: Path
) -> None:
    feed = material(speech, run, SPEECH)
    batch, indices = feed.next_batch(0, 0)
    assert batch.source is not None and batch.items is not None
    assert batch.heard is None
    assert batch.source.shape == batch.values.shape
    assert torch.equal(batch.items, torch.from_numpy(indices))
    assert (batch.source != batch.values).any(-1).any(-1).all()
    filtered, warped = replace(SPEECH, warp=0.0), replace(SPEECH, equalizer=0.0)
    for name, networks in {"filtered": filtered, "warped": warped}.items():
        source = material(speech, run.with_name(name), networks).next_batch(0, 0)[0].source
        assert source is not None and not torch.equal(source, batch.source)
    plain = replace(SPEECH, warp=0.0, equalizer=0.0)
    assert material(speech, run.with_name("still"), plain).next_batch(0, 0)[0].source is None


def test_noise_is_in_what_is_heard_and_not_in_what_is_written(
    speech: SpeechCorpus, run: Path
) -> None:
    clean, _ = material(speech, run, SPEECH).next_batch(0, 0)
    noise = NoiseMix(probability=1.0, snr=(0.0, 0.0))
    noisy, _ = material(speech, run.with_name("noisy"), replace(SPEECH, noise=noise)).next_batch(
        0, 0
    )
    assert torch.equal(noisy.values, clean.values)
    assert noisy.heard is not None and noisy.source is not None and clean.source is not None
    assert float((noisy.heard - noisy.values).abs().mean()) > 0.3
    assert float((noisy.source - clean.source).abs().mean()) > 0.3


def test_frames_of_a_crop_are_those_of_the_recording(speech: SpeechCorpus, run: Path) -> None:
    # So little noise that what is left is rounding, and the gain of a crop.
    noise = NoiseMix(probability=1.0, snr=(100.0, 100.0))
    feed = material(speech, run, replace(SPEECH, noise=noise, batch=16))
    batch, _ = feed.next_batch(0, 0)
    assert batch.heard is not None
    for values, heard, length in zip(batch.values, batch.heard, batch.lengths, strict=True):
        loud = values[:length] > -5
        difference = (heard[:length] - values[:length])[loud]
        assert float((difference - difference.median()).abs().max()) < 0.02


def test_a_batch_of_short_recordings_is_no_longer_than_they_are(
    speech: SpeechCorpus, run: Path
) -> None:
    feed = material(speech, run, replace(SPEECH, crop_seconds=30.0, tempo=0.0))
    batch, indices = feed.next_batch(0, 0)
    assert batch.values.shape[1] == int(batch.lengths.max())
    assert batch.lengths.tolist() == feed.store.frames[indices].tolist()
    assert feed.values_per_batch < 30 * 63 * 80 * SPEECH.batch / 10


def test_auto_is_bfloat16_where_the_processor_has_it(
    speech: SpeechCorpus, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for has in (True, False):
        monkeypatch.setattr("seqvae.training.trainer.cpu_has_bfloat16", lambda has=has: has)
        trainer = Trainer(speech_experiment(speech, run.with_name(str(has)), precision="auto"))
        with trainer._autocast():
            seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    assert seen == [torch.bfloat16, torch.float32]
