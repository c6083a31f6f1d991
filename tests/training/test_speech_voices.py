"""A run that has ended knows its speakers by name, wherever it is copied to."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from seqvae.config_speech import Speech
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.tasks.speakers import FILE
from seqvae.training import load_speech, train
from tests.training.speech_runs import SPEECH, speech_experiment

TABLE = replace(SPEECH, speakers="table")


@pytest.mark.parametrize("model", [SPEECH, TABLE], ids=["encoder", "table"])
def test_a_copy_without_the_corpus_knows_its_speakers(
    model: Speech, speech: SpeechCorpus, tmp_path: Path
) -> None:
    train(speech_experiment(speech, tmp_path / "run", model=model, steps=4))
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    config = (copy / "config.json").read_text(encoding="utf-8")
    assert str(speech.path) in config
    (copy / "config.json").write_text(config.replace(str(speech.path), "gone"), encoding="utf-8")
    found = load_speech(copy)
    wanted = load_speech(tmp_path / "run")
    for name in speech.train_speakers:
        assert found.voice(name).f0 == wanted.voice(name).f0
        assert found.voice(name).condition.equal(wanted.voice(name).condition)


def test_a_run_killed_at_its_very_end_hears_them_when_it_is_resumed(
    speech: SpeechCorpus, run: Path
) -> None:
    wanted = speech_experiment(speech, run, steps=2)
    train(wanted)
    kept = load_file(run / FILE)
    (run / FILE).unlink()
    train(wanted)
    found = load_file(run / FILE)
    assert found.keys() == kept.keys()
    assert all(found[name].equal(kept[name]) for name in kept)
