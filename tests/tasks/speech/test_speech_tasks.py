"""Reconstruct, sample, interpolate and score."""

import numpy as np
import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.speech.audio import Sound
from seqvae.errors import UserError
from seqvae.latent import CONTENT
from seqvae.tasks.chunks import Chunking
from seqvae.tasks.render import listen
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.speech_sample import drawn_contour, drawn_voice
from seqvae.tasks.speech_score import SpeechScore, score_speech
from seqvae.tasks.voice import Voice
from tests.tasks.speech.conftest import tiny
from tests.tasks.speech.sounds import RATE, speech

MODELS = ["model", "table_model", "both_model"]


@pytest.fixture(params=MODELS)
def any_model(request: pytest.FixtureRequest) -> SpeechModel:
    model: SpeechModel = request.getfixturevalue(request.param)
    return model


def test_reconstruction_is_a_conversion_into_the_own_voice(any_model: SpeechModel) -> None:
    source = speech(1.0)
    own = Voice("x", torch.zeros(drawn_voice(any_model, 0, 0).condition.shape))
    found = any_model.reconstruct(source, own)
    np.testing.assert_array_equal(found.samples, any_model.convert(source, own).samples)
    assert any_model.reconstruct(source).samples.shape == (RATE,)


def test_samples_have_their_length_and_seed(any_model: SpeechModel) -> None:
    found = any_model.sample(3, 0.5, seed=4)
    assert [len(s.samples) for s in found] == [RATE // 2] * 3
    assert all(np.isfinite(s.samples).all() and np.abs(s.samples).max() > 0 for s in found)
    (first,) = any_model.sample(1, 0.5, seed=4)
    np.testing.assert_array_equal(first.samples, found[0].samples)
    assert np.abs(found[0].samples - found[1].samples).max() > 1e-3
    assert np.abs(first.samples - any_model.sample(1, 0.5, seed=5)[0].samples).max() > 1e-3
    assert any_model.sample(0) == []


def test_samples_in_a_voice_are_its_own(model: SpeechModel) -> None:
    voice = model.voice(speech(1.0))
    (calm,) = model.sample(1, 0.5, voice, temperature=0.0)
    (wild,) = model.sample(1, 0.5, voice, temperature=1.0)
    assert np.abs(calm.samples - wild.samples).max() > 1e-3


@pytest.mark.parametrize("frames", [1, 5, 200])
def test_babble_has_a_melody(frames: int) -> None:
    found = drawn_contour(torch.tensor([1]), frames)
    assert found.shape == (1, frames, 3) and bool((found[..., 1] == 1).all())
    long = drawn_contour(torch.tensor([1]), 4000)[0, :, 0]
    assert float(long.std()) == pytest.approx(1.0, abs=0.3)
    assert float(long.diff().abs().mean()) < 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": -1}, "n is -1"),
        ({"seconds": 0.01}, "seconds is 0.01"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"temperature": -1.0}, "temperature is -1"),
    ],
)
def test_samples_out_of_range_are_refused(
    model: SpeechModel, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        model.sample(**options)  # type: ignore[arg-type]


def test_interpolation_goes_from_one_voice_to_the_other(model: SpeechModel) -> None:
    source, a, b = speech(1.0), model.voice(speech(1.0, 90.0)), model.voice(speech(1.0, 260.0))
    found = model.interpolate(source, a, b, steps=3)
    np.testing.assert_array_equal(found[0].samples, model.convert(source, a).samples)
    np.testing.assert_array_equal(found[2].samples, model.convert(source, b).samples)
    between = a.towards(b, 0.5)
    torch.testing.assert_close(between.condition, (a.condition + b.condition) / 2)
    np.testing.assert_allclose(found[1].samples, model.convert(source, between).samples, atol=1e-4)
    with pytest.raises(UserError, match="steps is 1"):
        model.interpolate(source, a, b, steps=1)


def test_a_score_is_the_bound_of_the_model(any_model: SpeechModel) -> None:
    source = speech(1.024)
    found = any_model.score(source, samples=200)
    frames = len(found.track)
    assert frames == 64 and found.seconds == pytest.approx(1.024)
    assert found.nats == pytest.approx(found.reconstruction + found.content + found.style)
    shown = found.reconstruction + found.content
    assert float(found.track.mean()) == pytest.approx(shown, rel=1e-4)
    (window,) = listen(any_model, any_model.recording(source))
    network = any_model.model
    with torch.inference_mode():
        kl = network.levels[CONTENT].prior.kl(network.content(window.mel)).sum() / frames
        assert found.content == pytest.approx(float(kl), rel=1e-4)
        if network.labels is None:
            terms = network(Batch(window.mel, torch.tensor([frames])), torch.tensor([0]), 200)
            reconstruction = float(terms.reconstruction.mean()) / frames
            assert found.reconstruction == pytest.approx(reconstruction, rel=0.02)
            assert found.style == pytest.approx(
                float(terms.kl_dimensions["style"].sum()) / frames, rel=1e-4
            )
        else:
            assert found.style == 0.0


def test_a_long_sound_is_scored_in_windows() -> None:
    # An untrained reader of pitch finds some windows all unvoiced, and says nothing of their melody.
    model = tiny(pitch=False)
    source, chunking = speech(9.0), Chunking(seconds=3.0, overlap=1.0)
    own = Voice("x", torch.zeros(32))
    cut = score_speech(model, source, own, chunking=chunking, samples=20)
    whole = model.score(source, own, samples=20)
    assert cut.track.shape == whole.track.shape and cut.style == 0.0
    assert cut.nats == pytest.approx(whole.nats, rel=0.1)
    assert np.corrcoef(cut.track, whole.track)[0, 1] > 0.9


def test_scores_repeat_and_silence_has_one(model: SpeechModel) -> None:
    source = speech(0.5)
    assert model.score(source) == model.score(source) != model.score(source, seed=1)
    assert np.isfinite(model.score(Sound(np.zeros(8000, np.float32), RATE)).nats)
    with pytest.raises(UserError, match="samples is 0"):
        model.score(source, samples=0)


def test_the_worst_stretch_is_where_the_sound_is_odd() -> None:
    track = np.zeros(100, np.float32)
    track[40:56] = 3.0
    found = SpeechScore("x", 1.6, 0.48, 0.48, 0.0, 0.0, 0.016, track)
    # A quarter of a second is 16 frames of 16 ms.
    assert found.worst == pytest.approx(3.0)
    short = SpeechScore("x", 0.05, 1.0, 1.0, 0.0, 0.0, 0.016, np.array([1.0, 2.0, 3.0], np.float32))
    assert short.worst == pytest.approx(2.0)
