"""Sound files: what is read is what was written, and what cannot be read says why."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from seqvae.data.speech import audio
from seqvae.data.speech.audio import (
    BadSound,
    open_audio,
    prepare_sound,
    read_audio,
    write_audio,
)
from seqvae.data.speech.energy import Floats, energy_of
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.errors import UserError
from tests.tasks.speech.sounds import babble

SOUND = babble(1.0)


def written(path: Path, samples: Floats = SOUND, rate: int = 16_000, **options: Any) -> Path:  # noqa: ANN401
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_what_was_read_is_written_back_bit_by_bit(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path / f"a.{ending}", subtype="PCM_16")
    sound = read_audio(path)
    assert sound.rate == 16_000 and sound.samples.dtype == np.float32 and sound.seconds == 1.0
    write_audio(tmp_path / f"b.{ending}", sound.samples, sound.rate)
    np.testing.assert_array_equal(read_audio(tmp_path / f"b.{ending}").samples, sound.samples)


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_lossy_formats(tmp_path: Path, ending: str) -> None:
    write_audio(tmp_path / f"a.{ending}", SOUND, 16_000)
    found = read_audio(tmp_path / f"a.{ending}").samples
    assert len(found) == len(SOUND)
    assert float(np.corrcoef(found, SOUND)[0, 1]) > 0.98


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_sample_formats(tmp_path: Path, subtype: str) -> None:
    found = read_audio(written(tmp_path / "a.wav", subtype=subtype)).samples
    np.testing.assert_allclose(found, SOUND, atol=0.02)


def test_channels_are_mixed_and_parts_are_exact(tmp_path: Path) -> None:
    stereo = np.stack([SOUND, 0.5 * SOUND], 1)
    path = written(tmp_path / "a.wav", stereo, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path).samples, 0.75 * SOUND, atol=1e-7)
    part = read_audio(path, 0.25, 0.5).samples
    np.testing.assert_allclose(part, 0.75 * SOUND[4000:12_000], atol=1e-7)
    np.testing.assert_allclose(read_audio(path, 0.75).samples, 0.75 * SOUND[12_000:], atol=1e-7)


def test_blocks_make_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.wav", np.stack([SOUND, SOUND], 1), subtype="FLOAT")
    monkeypatch.setattr(audio, "_BLOCK", 2000)
    with open_audio(path) as file:
        blocks = list(file.blocks())
    assert {len(block) for block in blocks} == {1000}
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 1], SOUND)
    with open_audio(path.read_bytes(), "memory") as file:
        np.testing.assert_array_equal(np.concatenate(list(file.blocks()))[:, 0], SOUND)


def test_a_float_file_may_be_louder_than_full_scale(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", 10 * SOUND, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path).samples, 10 * SOUND)


def _truncated(path: Path) -> None:
    written(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _rate(rate: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        written(path)
        data = bytearray(path.read_bytes())
        data[24:28] = struct.pack("<I", rate)
        path.write_bytes(data)

    return make


def _with(value: float) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        samples = SOUND.copy()
        samples[999] = value
        written(path, samples, subtype="FLOAT")

    return make


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "absent": ("a.wav", lambda path: None, "no such file"),
    "folder": ("a.wav", lambda path: path.mkdir(), "cannot be read"),
    "no bytes": ("a.wav", lambda path: path.write_bytes(b""), "empty file"),
    "no samples": ("a.wav", lambda path: written(path, SOUND[:0]), "no samples"),
    "text": ("a.wav", lambda path: path.write_text("hello\n" * 99), "not a sound file"),
    "header alone": ("a.wav", lambda path: path.write_bytes(b"RIFF\0\0\0\0WAVE"), "damaged"),
    "truncated wav": ("a.wav", _truncated, "truncated"),
    "truncated flac": ("a.flac", _truncated, "damaged"),
    # Of an Ogg whose end is missing libsndfile does not know how long it is.
    "truncated ogg": ("a.ogg", _truncated, "no samples"),
    "truncated mp3": ("a.mp3", _truncated, "truncated"),
    "rate 0": ("a.wav", _rate(0), "impossible sample rate"),
    "rate 3": ("a.wav", _rate(3), "impossible sample rate"),
    "rate 2^31": ("a.wav", _rate(2**31), "impossible sample rate"),
    "NaN": ("a.wav", _with(float("nan")), "values that are no numbers"),
    "infinity": ("a.wav", _with(float("-inf")), "values that are no numbers"),
    "channels": (
        "a.wav",
        lambda path: written(path, np.zeros((99, 65), np.float32)),
        "too many channels",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read(tmp_path: Path, case: str) -> None:
    name, make, reason = BROKEN[case]
    make(tmp_path / name)
    with pytest.raises(BadSound) as caught:
        read_audio(tmp_path / name)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_recorder_that_could_not_go_back_leaves_no_size(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", size)
    path.write_bytes(data)
    assert len(read_audio(path).samples) == len(SOUND)


@pytest.mark.parametrize(("start", "duration"), [(0.5, 1.0), (2.0, None), (-1.0, None), (0.0, 9.0)])
def test_parts_that_are_not_there(tmp_path: Path, start: float, duration: float | None) -> None:
    with pytest.raises(BadSound, match="shorter than its entry says"):
        read_audio(written(tmp_path / "a.wav"), start, duration)


def test_too_long_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_LARGEST", 8000)
    monkeypatch.setattr(audio, "_BLOCK", 1000)
    path = written(tmp_path / "a.wav")
    with pytest.raises(BadSound, match="too long to read at once"):
        read_audio(path)
    assert len(read_audio(path, 0.0, 0.5).samples) == 8000


def test_writing_clips_and_refuses_what_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, np.array([-3.0, 0.0, 3.0], np.float32), 16_000)
    np.testing.assert_allclose(read_audio(path).samples, [-1.0, 0.0, 1.0], atol=1e-4)
    before = path.read_bytes()
    with pytest.raises(UserError, match="holds NaN or infinity"):
        write_audio(path, np.array([np.nan], np.float32), 16_000)
    with pytest.raises(UserError, match=r"no sound format ends in '\.xyz'"):
        write_audio(tmp_path / "a.xyz", SOUND, 16_000)
    with pytest.raises(UserError, match="cannot write it"):
        write_audio(tmp_path / "none" / "a.wav", SOUND, 16_000)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 96_000])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_prepared_sounds_are_alike(rate: int, scale: float) -> None:
    samples = scale * babble(2.0, rate=rate)
    stereo = np.stack([samples, np.zeros_like(samples)], 1)
    found = prepare_sound(stereo, rate, MelSettings())
    assert found.shape == (32_000,) and found.dtype == np.float32
    assert energy_of(found, 16_000).loudness() == pytest.approx(0.06, rel=0.01)
    assert float(np.abs(found).max()) <= 0.99


def test_prepared_silence_is_silent() -> None:
    for samples in (np.zeros(16_000, np.float32), np.zeros((0, 2), np.float32)):
        found = prepare_sound(samples, 16_000, MelSettings(), trim="gaps")
        assert not found.any() and len(found) == len(samples)


def test_soundfile_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match=r"pip install 'seqvae\[speech\]'"):
        read_audio(tmp_path / "a.wav")
