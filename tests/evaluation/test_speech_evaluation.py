"""An untrained speech model before the judges: what is measured, made, kept and made anew."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.evaluation import speech
from seqvae.evaluation.referees import client
from seqvae.evaluation.speech_bound import decoded, measure_bound, spread
from seqvae.tasks.speech_model import SpeechModel
from tests.evaluation.speech_corpus import make_corpus
from tests.tasks.speech.conftest import tiny

pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> SpeechCorpus:
    return make_corpus(tmp_path_factory.mktemp("speech"))


@pytest.fixture
def model(corpus: SpeechCorpus) -> SpeechModel:
    found = tiny()
    # Styles of speakers are measured on the run's corpus.
    found.info["experiment"] = replace(found.info["experiment"], data=str(corpus.path))
    return found


@pytest.fixture(autouse=True)
def own_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that need nothing of others, in this Python, however the machine is furnished."""

    def judge(*given: Any, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        few = {"referees": ("distance", "pitch"), "python": sys.executable}
        return client.judge(*given, **(options | few))

    monkeypatch.setattr(speech, "judge", judge)


def test_costs_are_pooled_over_frames(model: SpeechModel, corpus: SpeechCorpus) -> None:
    store = corpus.split("test")
    found = measure_bound(model.model, store, range(len(store)), seed=3)
    frames = nats = content = errors = 0.0
    for index in range(len(store)):
        values = torch.from_numpy(store.mel(index))[None]
        speaker = torch.tensor([int(store.speaker[index])])
        with torch.no_grad():
            batch = Batch(values, torch.tensor([values.shape[1]]), speaker)
            terms = model.model(batch, torch.tensor([3 + index]))
            errors += float((decoded(model.model, values, speaker) - values).abs().sum())
        frames += values.shape[1]
        nats += float(terms.reconstruction + terms.kl)
        content += float(terms.kl_dimensions["content"].sum())
    seconds = frames / corpus.settings.frame_rate
    assert found["elbo_frame"] == pytest.approx(nats / frames, rel=1e-5)
    assert found["bit_rate"] == pytest.approx(content / math.log(2) / seconds, rel=1e-5)
    assert found["l1"] == pytest.approx(errors / frames / corpus.settings.mels, rel=1e-5)
    parts = sum(found[f"{name}_frame"] for name in ("reconstruction", "content", "style"))
    assert found["elbo_frame"] == pytest.approx(parts)
    assert found["seconds"] == pytest.approx(seconds)
    assert measure_bound(model.model, store, [0], seed=3).keys() < found.keys()


def test_recordings_are_spread() -> None:
    assert spread(10, None) == list(range(10))
    assert spread(10, 3) == [0, 4, 9]
    assert spread(2, 5) == [0, 1]


def test_everything_is_judged_with_controls(
    model: SpeechModel, corpus: SpeechCorpus, tmp_path: Path
) -> None:
    report = speech.evaluate_speech(
        model, corpus, "test", limit=1, pairs=2, folder=tmp_path / "sounds", progress=False
    )
    assert report["kind"] == "speech" and report["conversions"] == report["references"] == 2
    assert list(report["groups"]) == [
        "natural", "unconverted", "copy synthesis", "reconstruction", "conversion",
    ]  # fmt: skip
    assert report["groups"]["unconverted"]["mcd"] > 0
    assert len(report["pairs"]) == 2 and report["sounds"] == "sounds"
    assert 0 <= report["leak"] <= 1 and report["leak_chance"] > 0
    json.dumps(report)
    shown = str(report)
    for words in ("negative ELBO", "bit/s", "leak", "conversion", "MCD dB"):
        assert words in shown
    assert (
        speech.evaluate_speech(
            model, corpus, "test", limit=1, pairs=2, folder=tmp_path / "sounds", progress=False
        )
        == report
    )


def test_sounds_of_other_weights_are_made_anew(
    model: SpeechModel, corpus: SpeechCorpus, tmp_path: Path
) -> None:
    def converted() -> bytes:
        speech.evaluate_speech(
            model, corpus, "test", limit=1, pairs=1, folder=tmp_path, progress=False
        )
        (path,) = (tmp_path / "conversion").iterdir()
        return path.read_bytes()

    first = converted()
    (path,) = (tmp_path / "conversion").iterdir()
    path.write_bytes(first + b"kept")
    assert converted() == first + b"kept"
    with torch.no_grad():
        for parameter in model.model.likelihood.parameters():
            parameter.add_(0.1)
    anew = converted()
    assert anew not in (first, first + b"kept")


def test_without_conversions_nobody_is_asked(
    model: SpeechModel, corpus: SpeechCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "judge", None)
    report = speech.evaluate_speech(model, corpus, "test", limit=0, progress=False)
    assert "groups" not in report and "bit_rate" in report
    assert "conversions" not in str(report)


def test_a_table_of_speakers_has_no_style(corpus: SpeechCorpus) -> None:
    report = speech.evaluate_speech(tiny("table"), corpus, "test", limit=0, progress=False)
    assert "style" not in report and np.isfinite(report["elbo_frame"])


@pytest.mark.parametrize("options", [{"limit": -1}, {"pairs": 0}, {"recordings": 0}])
def test_numbers_out_of_range_are_refused(
    model: SpeechModel, corpus: SpeechCorpus, options: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match="evaluate: limit"):
        speech.evaluate_speech(model, corpus, "test", **options)
    with pytest.raises(UserError, match="no split"):
        speech.evaluate_speech(model, corpus, "nosuch")


def test_a_corpus_of_other_frames_or_speakers_is_refused(corpus: SpeechCorpus) -> None:
    other = tiny(settings=replace(MelSettings(), mels=40))
    with pytest.raises(
        UserError, match=r"with mels 80, but the run was trained on mels 40: .*--mel"
    ):
        speech.evaluate_speech(other, corpus, progress=False)
    table = tiny("table")
    table.speakers[0] = "dora"
    with pytest.raises(UserError, match=r"speakers anna, ben, cleo, but .* table are dora, ben"):
        speech.evaluate_speech(table, corpus, progress=False)
