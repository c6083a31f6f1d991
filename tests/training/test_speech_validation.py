"""What a validation of speech measures: the numbers, and that they do not depend on how recordings are batched."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from seqvae.batch import Batch
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.data.speech.store import SpeechStore
from seqvae.model import SequenceVAE
from seqvae.posteriors import FrameGaussian
from seqvae.training.speech_validation import (
    BATCH_FRAMES,
    LONGEST,
    OF_EACH,
    Recordings,
    SpeechValidation,
    batches,
    leak_probe,
    spread,
    whole,
)
from tests.data.speech.memory_store import MemoryStore
from tests.training.speech_runs import SPEECH

CPU = torch.device("cpu")


def build(corpus: SpeechCorpus, **changes: Any) -> SequenceVAE:  # noqa: ANN401
    """An untrained model of the corpus, in training mode."""
    torch.manual_seed(0)
    networks = replace(SPEECH, **changes)
    speakers = len(corpus.train_speakers)
    return networks.build(corpus.settings, corpus.mean, corpus.std, speakers=speakers).train()


@pytest.fixture(scope="module")
def store(speech: SpeechCorpus) -> SpeechStore:
    return speech.split("train")


@pytest.fixture(scope="module")
def model(speech: SpeechCorpus) -> SequenceVAE:
    return build(speech)


def recordings(store: SpeechStore, *groups: list[int]) -> list[Recordings]:
    return [Recordings(whole(store, np.array(group, np.int64))) for group in groups]


def test_terms_add_up_and_units_are_what_they_are_called(
    model: SequenceVAE, store: SpeechStore
) -> None:
    chosen = recordings(store, [0, 1, 2])
    seen = SpeechValidation(chosen, CPU).measure(model)
    frames = float(store.frames[:3].sum())
    seconds = frames * 256 / 16_000
    assert seen["bound"] == pytest.approx(seen["reconstruction"] + seen["kl"])
    assert seen["kl"] == pytest.approx(seen["content"] + seen["style"])
    assert seen["bound_frame"] == pytest.approx(3 * seen["bound"] / frames)
    assert seen["content_frame"] == pytest.approx(3 * seen["content"] / frames)
    assert seen["bit_rate"] == pytest.approx(3 * seen["content"] / seconds / math.log(2))
    assert sum(seen["kl_dimensions"]) == pytest.approx(seen["bit_rate"], rel=1e-4)
    assert sum(seen["style_kl_dimensions"]) == pytest.approx(seen["style"], rel=1e-4)
    # KL of diagonal Gaussians in closed form, over the vectors of the first recording alone.
    one = chosen[0].batch
    with torch.inference_mode():
        posterior = model.eval().content(one.values[:1, : one.lengths[0]], one.lengths[:1])
        assert isinstance(posterior, FrameGaussian)
        mean, spread_ = posterior.mean.double(), posterior.log_variance.double()
        wanted = 0.5 * (mean**2 + spread_.exp() - 1 - spread_).sum()
    model.train()
    alone = SpeechValidation(recordings(store, [0]), CPU).measure(model)
    assert alone["content"] == pytest.approx(float(wanted), rel=1e-4)


def test_batches_do_not_show(model: SequenceVAE, store: SpeechStore) -> None:
    together = SpeechValidation(recordings(store, [0, 1, 2, 3, 4, 5]), CPU).measure(model)
    apart = SpeechValidation(recordings(store, [0, 1], [2], [3, 4, 5]), CPU).measure(model)
    # The others are of drawn latents.
    for name in ("kl", "content", "style", "l1", "pitch", "active_units", "leak", "mi"):
        assert together[name] == pytest.approx(apart[name], rel=1e-3), name


def test_the_error_is_of_what_is_written(model: SequenceVAE, store: SpeechStore) -> None:
    seen = SpeechValidation(recordings(store, [2]), CPU).measure(model)
    mel = torch.from_numpy(np.array(store.mel(2)))[None]
    model.eval()
    with torch.inference_mode():
        content, style = model.content(mel).mean, model.style(mel).mean
        condition = model.condition(style, None)
        written = model.frames(content, condition, mel.shape[1], model.contour(mel))
    model.train()
    assert seen["l1"] == pytest.approx(float((written - mel).abs().mean()), rel=1e-4)


def test_a_model_is_left_as_it_was(model: SequenceVAE, store: SpeechStore) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    validation = SpeechValidation(recordings(store, [0, 1]), CPU)
    first = validation.measure(model)
    assert model.training
    assert validation.measure(model) == first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_decoder_that_hears_nothing_has_no_gap(speech: SpeechCorpus, store: SpeechStore) -> None:
    model = build(speech)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()
    seen = SpeechValidation(recordings(store, [0, 1]), CPU).measure(model)
    assert seen["prior_gap"] == pytest.approx(0.0, abs=1e-5)
    assert seen["style_gap"] == pytest.approx(0.0, abs=1e-5)


def test_noise_is_measured_beside_what_is_left_of_it(
    model: SequenceVAE, store: SpeechStore
) -> None:
    (clean,) = recordings(store, [0, 1])
    noisy = clean.batch.values + 0.5
    validation = SpeechValidation([Recordings(clean.batch, noisy)], CPU)
    seen = validation.measure(model)
    assert seen["noisy_l1"] == pytest.approx(0.5, rel=1e-4)
    assert seen["denoised_l1"] > 0
    assert "L1 with noise 0.500, denoised" in validation.in_words(seen)


def test_a_table_has_no_style_to_measure(speech: SpeechCorpus, store: SpeechStore) -> None:
    model = build(speech, speakers="table", pitch=False)
    validation = SpeechValidation(recordings(store, [0, 1, 2, 3]), CPU)
    seen = validation.measure(model)
    assert not {"style", "style_gap", "mi", "pitch"} & seen.keys()
    words = validation.in_words(seen)
    assert f"content {seen['bit_rate']:.0f} bit/s" in words and "style" not in words
    assert f"a probe names the speaker from {seen['leak']:.0%} of contents" in words


def test_one_voice_is_not_probed(speech: SpeechCorpus) -> None:
    store = speech.split("train")
    mine = np.flatnonzero(store.speaker == 0).tolist()
    validation = SpeechValidation(recordings(store, mine), CPU)
    seen = validation.measure(build(speech))
    assert "leak" not in seen
    assert "probe" not in validation.in_words(seen)


def test_the_probe_of_a_split_is_between_nothing_and_one(
    model: SequenceVAE, store: SpeechStore
) -> None:
    found = leak_probe(model, store, seconds=5.0)
    assert found["leak_chance"] == 0.5
    assert 0.0 <= found["leak"] <= 1.0 and 0.0 <= found["leak_frame"] <= 1.0
    assert model.training


@pytest.mark.parametrize("seconds", [1.0, 20.0, 1000.0])
def test_recordings_are_spread_over_speakers(seconds: float) -> None:
    store = MemoryStore(*[2.0] * 24)
    chosen = spread(store, seconds)
    assert len(set(chosen.tolist())) == len(chosen)
    speakers, counts = np.unique(store.speaker[chosen], return_counts=True)
    assert speakers.tolist() == [0, 1]
    assert counts[0] == counts[1]
    assert len(chosen) == {1.0: 2, 20.0: 10, 1000.0: 24}[seconds]


def test_of_many_speakers_some_are_heard_several_times() -> None:
    store = MemoryStore(*[1.0] * 40)
    store.__dict__["speaker"] = np.arange(40, dtype=np.int32) // 4
    chosen = spread(store, seconds=16.0)
    speakers, counts = np.unique(store.speaker[chosen], return_counts=True)
    assert len(speakers) == 4 and counts.tolist() == [OF_EACH] * 4
    assert speakers.tolist() == [0, 3, 6, 9]


def test_batches_hold_every_recording_once_and_are_not_too_large() -> None:
    store = MemoryStore(0.5, 3.0, 1.0, 30.0, 2.0, *[1.0] * 70)
    groups = list(batches(store, np.arange(75, dtype=np.int64)))
    assert sorted(np.concatenate(groups).tolist()) == list(range(75))
    longest = round(LONGEST * store.settings.frame_rate)
    for group in groups:
        lengths = np.minimum(store.frames[group], longest)
        assert len(group) == 1 or lengths.max() * len(group) <= BATCH_FRAMES
    assert len(groups) > 1


def test_a_long_recording_is_cut_and_short_ones_padded() -> None:
    store = MemoryStore(0.5, 30.0)
    batch: Batch = whole(store, np.array([0, 1], np.int64))
    longest = round(LONGEST * store.settings.frame_rate)
    assert batch.lengths.tolist() == [int(store.frames[0]), longest]
    assert batch.values.shape == (2, longest, 80)
    assert not bool(batch.values[0, int(store.frames[0]) :].any())
    assert batch.labels is not None and batch.labels.tolist() == [0, 1]
    assert batch.pitch is not None and batch.pitch.shape == (2, longest, 3)
