import math

import numpy as np
import pytest
import torch
from torch import Tensor

from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from seqvae.tasks.convert import speaking
from seqvae.tasks.frame_stream import FrameStream
from seqvae.tasks.render import Window
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.streaming_convert import StreamConverter
from seqvae.tasks.vocoder_stream import vocoder_stream
from seqvae.tasks.voice import Voice
from seqvae.vocoders import Istft, Vocoder
from tests.tasks.speech.conftest import tiny
from tests.tasks.speech.sounds import RATE, babble

VOICE = Voice("x", torch.linspace(-1, 1, 32))
BLOCKS = [160, 1000, 100_000]


class Smearing(Vocoder):
    """Samples that depend on 3 frames before and 2 behind, and on nothing else."""

    past, ahead, bounded = 3, 2, True

    def __init__(self) -> None:
        super().__init__()
        self.settings = MelSettings()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weights", torch.randn(256, 80, 6, generator=generator) / 100)

    def forward(self, mel: Tensor, noise: Tensor | None = None) -> Tensor:
        padded = torch.nn.functional.pad(mel.transpose(1, 2), (3, 2), value=-11.5)
        frames = torch.nn.functional.conv1d(padded, self.get_buffer("weights"))
        return 0.5 * torch.tanh(frames).transpose(1, 2).flatten(1)


@pytest.fixture(scope="module", params=[True, False], ids=["pitch", "no pitch"])
def causal(request: pytest.FixtureRequest) -> SpeechModel:
    model = tiny(causal=True, pitch=request.param)
    model.use_vocoder(Smearing())
    return model


def streamed(converter: StreamConverter, samples: np.ndarray, block: int) -> np.ndarray:
    pieces = [converter.push(samples[i : i + block]) for i in range(0, len(samples), block)]
    return np.concatenate([*pieces, converter.flush()])


def offline(model: SpeechModel, samples: np.ndarray, gain: float) -> np.ndarray:
    """The conversion of all at once, silence filling up the last block."""
    padded = np.pad(gain * samples, (0, -len(samples) % model.step)).astype(np.float32)
    with torch.inference_mode():
        mel = model.mel(torch.from_numpy(padded)[None])
        changed = speaking(model, VOICE)(Window(0, padded, mel, slice(None)))
        return np.asarray(model.vocoder(changed)[0, : len(samples)].numpy() / gain)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("length", [100, 1600, 16_384, 32_777])
def test_a_stream_gives_what_the_whole_gives(causal: SpeechModel, block: int, length: int) -> None:
    samples = babble(length / RATE)
    found = streamed(StreamConverter(causal, VOICE, gain=2.0), samples, block)
    assert found.shape == (length,) and found.dtype == np.float32
    np.testing.assert_allclose(found, offline(causal, samples, 2.0), atol=2e-4)


def test_a_minute_does_not_drift(causal: SpeechModel) -> None:
    samples = babble(60.0)
    found = streamed(StreamConverter(causal, VOICE), samples, 5000)
    np.testing.assert_allclose(found, offline(causal, samples, 1.0), atol=2e-3)


def test_it_is_never_later_than_it_says(causal: SpeechModel) -> None:
    converter = StreamConverter(causal, VOICE)
    # Blocks of 2 frames, half a window beyond them, 2 frames more for the vocoder.
    assert converter.latency == pytest.approx((512 + 384 + 512) / RATE)
    samples, out, latest = babble(0.3), 0, 0.0
    for number in range(len(samples)):
        out += len(converter.push(samples[number : number + 1]))
        latest = max(latest, (number + 1 - out) / RATE)
    # Just before a block is said the oldest sample of it has waited so long.
    assert latest == pytest.approx(converter.latency - 1 / RATE)
    assert out + len(converter.flush()) == len(samples)


def test_griffin_lim_streams_nearly_as_well() -> None:
    model = tiny(causal=True)
    samples = babble(2.0)
    found = streamed(StreamConverter(model, VOICE), samples, 512)
    assert found.shape == samples.shape
    frames = [model.mel(torch.from_numpy(x)[None]) for x in (found, offline(model, samples, 1.0))]
    assert (frames[0] - frames[1]).abs().mean() < 0.5


def test_a_fresh_converter_begins_afresh(causal: SpeechModel) -> None:
    samples = babble(0.5)
    first = streamed(StreamConverter(causal, VOICE), samples, 700)
    np.testing.assert_array_equal(streamed(StreamConverter(causal, VOICE), samples, 700), first)


def test_nothing_in_nothing_out(causal: SpeechModel) -> None:
    converter = StreamConverter(causal, VOICE)
    assert converter.push(np.zeros(0, np.float32)).shape == converter.flush().shape == (0,)


def test_a_model_that_looks_ahead_says_how_to_train_one(model: SpeechModel) -> None:
    with pytest.raises(UserError, match=r"looks ahead.*--model\.content\.causal"):
        StreamConverter(model, VOICE)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("inf"), float("nan")])
def test_a_gain_that_is_none_is_refused(causal: SpeechModel, gain: float) -> None:
    with pytest.raises(UserError, match="gain is"):
        StreamConverter(causal, VOICE, gain=gain)


def test_samples_that_are_no_numbers_are_refused(causal: SpeechModel) -> None:
    with pytest.raises(UserError, match="NaN or infinite"):
        StreamConverter(causal, VOICE).push(np.array([0.0, np.inf], np.float32))


@pytest.mark.parametrize("block", [37, 200, 10_000])
def test_frames_in_pieces_are_those_of_the_whole(model: SpeechModel, block: int) -> None:
    wave = torch.from_numpy(babble(0.4)[:6000])
    stream = FrameStream(model.mel, 2)
    pieces = [stream.push(piece) for piece in torch.split(wave, block)]
    found = torch.cat([*pieces, stream.flush()], 1)
    whole = model.mel(torch.nn.functional.pad(wave, (0, -6000 % 512))[None])
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [1, 3, 40])
def test_a_vocoder_in_pieces_says_the_whole(block: int) -> None:
    mel = torch.randn(1, 37, 80)
    stream = vocoder_stream(Smearing())
    pieces = [stream.push(piece) for piece in torch.split(mel, block, 1)]
    found = torch.cat([*pieces, stream.push(mel[:, :0], last=True)])
    torch.testing.assert_close(found, Smearing()(mel)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [2, 7, 300])
@pytest.mark.parametrize("parts", [1, 2])
def test_pulses_go_on_from_piece_to_piece(block: int, parts: int) -> None:
    torch.manual_seed(0)
    vocoder = (
        Istft(width=8, blocks=2, parts=parts, pitch_width=8, pitch_layers=1)
        .build(MelSettings())
        .eval()
    )
    mel = torch.randn(1, 300, 80).cumsum(1) / 4 - 5
    with torch.no_grad():
        # The untrained reader of pitch shall hear a voice half of the time.
        score = vocoder.pitch((mel + 5) / 2)[1]
        assert vocoder.pitch.output.bias is not None
        vocoder.pitch.output.bias[-1] -= score.flatten().sort().values[149:151].mean()
    stream = vocoder_stream(vocoder, seed=3)
    with torch.inference_mode():
        voiced = vocoder.read_pitch((mel + 5) / 2)[1]
        whole = vocoder(mel, vocoder.draw(torch.tensor([3]), 300))[0]
        pieces = [stream.push(piece) for piece in torch.split(mel, block, 1)]
        found = torch.cat([*pieces, stream.push(mel[:, :0], last=True)])
    assert 0.0 < float(voiced.mean()) < 1.0
    # Rounding of the pitch adds up over a stretch: 1e-5 turns, of which the 80th harmonic makes 1e-3.
    noise = (found - whole).square().sum() / whole.square().sum()
    assert -10 * math.log10(float(noise)) > 40.0
