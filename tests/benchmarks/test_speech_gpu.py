"""The GPU's training of speech, as far as a CPU can run it."""

import pytest
import torch

from benchmarks.speech_gpu import Voices, main
from seqvae.data.speech.mel_settings import MelSettings


def test_it_trains_and_says_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--smoke", "--device", "cpu"])
    assert "frames/s" in capsys.readouterr().out


def test_a_batch_of_voices_is_fixed_by_its_number() -> None:
    voices = Voices(MelSettings(mels=20), 3, torch.device("cpu"))
    first, again, other = (voices.batch(2, 40, n) for n in (1, 1, 2))
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert first.values.shape == (2, 40, 20) and first.pitch is not None
    assert not first.pitch[first.pitch[..., 1] == 0].any()
