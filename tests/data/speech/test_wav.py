"""The numpy codec of WAV files agrees with libsndfile, and refuses what is no sound."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from seqvae.data.speech.audio import BadSound
from seqvae.data.speech.energy import Floats
from seqvae.data.speech.wav import decode_wav, encode_wav, is_wav

RATE = 16000


def noise(frames: int = 999, channels: int = 2) -> Floats:
    return np.random.default_rng(0).uniform(-1, 1, (frames, channels)).astype(np.float32)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_reads_what_libsndfile_writes(kind: str, subtype: str, channels: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, noise(channels=channels), 44100, subtype=subtype, format=kind)
    found, rate = decode_wav(file.getvalue())
    file.seek(0)
    wanted, _ = soundfile.read(file, dtype="float32", always_2d=True)
    assert rate == 44100 and found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


def test_it_writes_what_libsndfile_reads() -> None:
    samples = noise(channels=1)[:, 0] * np.float32(1.2)
    found: Floats
    found, rate = soundfile.read(io.BytesIO(encode_wav(samples, RATE)), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(found, np.clip(samples, -1, 1), atol=2.0**-15)
    again = encode_wav(found, RATE)
    np.testing.assert_array_equal(decode_wav(again)[0][:, 0], found)
    exact, _ = decode_wav(encode_wav(samples, RATE, exact=True))
    np.testing.assert_array_equal(exact[:, 0], samples)


def test_a_size_that_was_never_filled_in_means_all_that_follows() -> None:
    content = bytearray(encode_wav(noise(channels=1)[:, 0], RATE))
    struct.pack_into("<I", content, 40, 0xFFFFFFFF)
    assert decode_wav(bytes(content))[0].shape == (999, 1)


def wav(rate: int = RATE, channels: int = 1, bits: int = 16, kind: int = 1) -> bytes:
    layout = struct.pack("<HHIIHH", kind, channels, rate, 0, 0, bits)
    return (
        b"RIFF\0\0\0\0WAVEfmt "
        + struct.pack("<I", 16)
        + layout
        + b"data"
        + struct.pack("<I", 8)
        + bytes(8)
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a WAV file"),
        (b"these are words", "not a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "without samples"),
        (wav()[:30], "cut short"),
        (wav()[:-8], "0% of the samples|no samples"),
        (wav(rate=10), "10 Hz"),
        (wav(channels=0), "channels"),
        (wav(channels=65), "channels"),
        (wav(kind=6, bits=8), "format 6"),
        (wav(bits=12), "12 bits"),
        (wav(kind=3, bits=32)[:-8] + struct.pack("<2f", 0.5, float("inf")), "no numbers"),
        (wav().replace(b"fmt ", b"gmt "), "before their format"),
    ],
)
def test_what_is_no_sound_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadSound, match=said):
        decode_wav(content, "it")


@given(st.binary(max_size=200), st.integers(0, 60), st.binary(max_size=8))
def test_no_bytes_do_harm(tail: bytes, place: int, change: bytes) -> None:
    content = bytearray(wav() + tail)
    content[place : place + len(change)] = change
    try:
        samples, _ = decode_wav(bytes(content))
    except BadSound:
        return
    assert is_wav(content) and np.isfinite(samples).all() and samples.size
