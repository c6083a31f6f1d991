"""Training a vocoder: what it reaches, and that an interrupted one is exact."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.errors import UserError
from seqvae.training.checkpoint import checkpoints, read_checkpoint
from seqvae.training.vocoder import VocoderTrainer, train_vocoder
from seqvae.training.vocoder_config import LearnedVocoder, VocoderExperiment, VocoderTraining
from seqvae.vocoders import Istft, LinearHead
from tests.training.runs import rows

KINDS: dict[str, LearnedVocoder] = {
    "linear head": LinearHead(width=16, blocks=1, iterations=2),
    "istft": Istft(width=16, blocks=1, pitch_width=8, pitch_layers=1),
}
TRAINING = VocoderTraining(
    steps=6,
    batch=2,
    crop_seconds=0.3,
    validate_every=4,
    validate_recordings=2,
    checkpoint_every=2,
    device="cpu",
    threads=1,
)


def experiment(corpus: SpeechCorpus, out: Path, kind: str) -> VocoderExperiment:
    return VocoderExperiment(str(corpus.path), str(out), KINDS[kind], TRAINING)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_equals_uninterrupted(
    kind: str, speech: SpeechCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = experiment(speech, tmp_path / "whole", kind)
    parts = replace(whole, out=str(tmp_path / "parts"))
    measured = train_vocoder(whole)
    step = VocoderTrainer._train_step

    def dying(self: VocoderTrainer) -> dict[str, float]:
        # Between two checkpoints: what was logged after the last one must be taken back.
        if self.step == 5:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(VocoderTrainer, "_train_step", dying)
        with pytest.raises(KeyboardInterrupt):
            train_vocoder(parts)
    assert train_vocoder(parts) == measured
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    ends = [read_checkpoint(checkpoints(tmp_path / n)[-1])[0] for n in ("whole", "parts")]
    assert ends[0].keys() == ends[1].keys()
    for group, tensors in ends[0].items():
        for name, value in tensors.items():
            assert torch.equal(value, ends[1][group][name]), (group, name)


def test_a_folder_of_another_training_is_refused(speech: SpeechCorpus, tmp_path: Path) -> None:
    train_vocoder(experiment(speech, tmp_path / "out", "linear head"))
    with pytest.raises(UserError, match="out"):
        train_vocoder(experiment(speech, tmp_path / "out", "istft"))


def test_the_head_comes_nearer_to_the_magnitudes(speech: SpeechCorpus, tmp_path: Path) -> None:
    begun = experiment(speech, tmp_path / "begun", "linear head")
    longer = replace(TRAINING, steps=80, learning_rate=5e-3, validate_every=80)
    first = train_vocoder(replace(begun, training=replace(TRAINING, steps=1)))
    last = train_vocoder(replace(begun, out=str(tmp_path / "longer"), training=longer))
    assert last["loss"] < 0.8 * first["loss"], (first, last)
