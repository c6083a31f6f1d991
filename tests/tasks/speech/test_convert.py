import numpy as np
import pytest
import torch

from seqvae.data.speech.audio import Sound
from seqvae.errors import UserError
from seqvae.tasks.chunks import Chunking
from seqvae.tasks.convert import Conversion, speaking
from seqvae.tasks.f0 import placed
from seqvae.tasks.render import listen
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.voice import Voice
from tests.tasks.speech.sounds import RATE, speech

SHORT = Chunking(seconds=2.0, overlap=0.5, fade=0.05)


def test_conversion_decodes_the_content_in_the_other_voice(model: SpeechModel) -> None:
    voice = model.voice(speech(1.0, 200.0))
    (window,) = listen(model, model.recording(speech(1.0)))
    with torch.inference_mode():
        content = model.model.content(window.mel).mean
        pitch = model.model.contour(window.mel)
        assert pitch is not None
        pitch = placed(pitch, voice.f0)
        wanted = model.model.frames(content, voice.condition[None], window.mel.shape[1], pitch)
        found = speaking(model, voice)(window)
    torch.testing.assert_close(found, wanted)


def test_strength_zero_is_the_reconstruction(model: SpeechModel) -> None:
    source, target = speech(1.0), speech(1.0, 250.0)
    kept = model.convert(source, target, Conversion(strength=0.0))
    np.testing.assert_allclose(kept.samples, model.reconstruct(source).samples, atol=1e-5)
    full = model.convert(source, target)
    half = model.convert(source, target, Conversion(strength=0.5))
    assert np.abs(full.samples - kept.samples).max() > 1e-3
    assert np.abs(half.samples - kept.samples).max() > 1e-3


def test_the_source_s_own_voice_may_be_given(table_model: SpeechModel) -> None:
    source = speech(1.0)
    found = table_model.convert(source, "ben", Conversion(strength=0.0), own="cleo")
    np.testing.assert_array_equal(found.samples, table_model.convert(source, "cleo").samples)


def test_noise_is_the_posterior_s_and_fixed_by_the_seed(model: SpeechModel) -> None:
    (window,) = listen(model, model.recording(speech(1.0)))
    voice = Voice("x", torch.zeros(32))
    with torch.inference_mode():
        drawn = model.model.content(window.mel).sample(torch.tensor([3]), 1, 0.7)[0]
        pitch = model.model.contour(window.mel)
        assert pitch is not None
        pitch = placed(pitch, voice.f0)
        wanted = model.model.frames(drawn, voice.condition[None], window.mel.shape[1], pitch)
        torch.testing.assert_close(speaking(model, voice, 0.7, 3)(window), wanted)
        other = speaking(model, voice, 0.7, 4)(window)
    assert (other - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("rate", [8_000, 96_000])
def test_any_rate_goes_in(model: SpeechModel, rate: int) -> None:
    sound = speech(1.0, rate=rate)
    found = model.convert(sound, model.voice(speech(1.0)))
    assert (found.rate, len(found.samples)) == (RATE, RATE)


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_short_clips_convert(model: SpeechModel, seconds: float) -> None:
    found = model.convert(speech(seconds), speech(0.3, 200.0))
    assert len(found.samples) == round(seconds * RATE)
    assert np.isfinite(found.samples).all()


def test_ten_milliseconds_are_refused(model: SpeechModel) -> None:
    with pytest.raises(UserError, match="10 ms long; 100 ms are needed"):
        model.convert(speech(0.01), speech(1.0))
    with pytest.raises(UserError, match="10 ms long"):
        model.convert(speech(1.0), speech(0.01))


def test_silence_converts_to_silence(model: SpeechModel) -> None:
    found = model.convert(Sound(np.zeros(RATE, np.float32), RATE), speech(1.0))
    assert found.samples.shape == (RATE,) and not found.samples.any()


@pytest.mark.parametrize(
    ("field", "value"),
    [("strength", -0.1), ("strength", float("nan")), ("noise_scale", 11.0), ("seed", 2**63)],
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(UserError, match=f"convert: {field} is"):
        Conversion(**{field: value})  # type: ignore[arg-type]
