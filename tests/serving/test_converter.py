"""A bundle of speech in an app: files of any rate in, the wanted voice out, mistakes said."""

from pathlib import Path

import numpy as np
import pytest
import torch

from seqvae.data.speech.audio import Sound, write_audio
from seqvae.errors import UserError
from seqvae.export.bundle import Bundle
from seqvae.export.speech_export import export_speech
from seqvae.export.speech_golden import babble
from seqvae.serving import Converter
from tests.tasks.speech.conftest import PITCHES, tiny

RATE = 16_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    model = tiny("table")
    with torch.no_grad():
        for parameter in model.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(
                    0.5
                )  # as at the start of a training: rounding grows with the weights
    model.info["voices"] = PITCHES
    return export_speech(model, tmp_path_factory.mktemp("bundle") / "speech")


def test_files_of_any_rate_are_as_long_in_the_other_voice(bundle: Bundle, tmp_path: Path) -> None:
    converter = Converter(bundle)
    assert converter.voices == ("anna", "ben", "cleo") and converter.rate == RATE
    write_audio(tmp_path / "talk.wav", babble(1.0, 48_000), 48_000)
    ben = converter.convert(tmp_path / "talk.wav", "ben")
    assert ben.rate == RATE and ben.samples.shape == (RATE,)
    anna = converter.convert(str(tmp_path / "talk.wav"))
    assert np.abs(ben.samples - anna.samples).max() > 1e-3
    again = converter.convert(tmp_path / "talk.wav", "ben", noise_scale=1.0, seed=3)
    assert np.abs(again.samples - ben.samples).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "dora"}, "neither a file nor a voice .anna, ben, cleo"),
        ({"voice": Sound(babble(1.0, RATE), RATE)}, "by name only; it has anna, ben, cleo"),
        ({"strength": 0.5}, "by name only: 1 is all"),
        ({"noise_scale": float("nan")}, "noise_scale is nan"),
        ({"seed": 2**70}, "seed is"),
    ],
)
def test_mistakes_are_said(bundle: Bundle, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Converter(bundle).convert(Sound(babble(0.5, RATE), RATE), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "has no samples"),
        (np.full(100, np.inf, np.float32), "NaN or infinity"),
        (np.zeros(601 * 1000, np.float32), "more than 600 s"),
    ],
)
def test_sounds_that_cannot_be_are_refused(
    bundle: Bundle, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Converter(bundle).convert(Sound(samples, 1000 if len(samples) > 1000 else RATE))


def test_silence_stays_silent(bundle: Bundle) -> None:
    sound = Converter(bundle).convert(Sound(np.zeros(RATE, np.float32), RATE), "ben")
    assert not sound.samples.any()
