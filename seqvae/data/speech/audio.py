"""Sound files through soundfile: read whole or block by block, checked; written as 16 bits."""

import contextlib
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seqvae.data.speech.energy import Floats, energy_of
from seqvae.data.speech.loudness import gain_of, scaled
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.trim import Trim, joined, pieces_of
from seqvae.errors import UserError

SUFFIXES = frozenset(
    {
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc"),
        *(".au", ".snd", ".caf", ".w64", ".rf64", ".voc", ".sph"),
    }
)
"""Endings by which sound files are known in folders."""
SLOWEST, FASTEST = 1000, 768_000
"""Sample rates that are believed, Hz."""

# Numbers of a block, all channels together: 1 MB.
_BLOCK = 1 << 18
# Samples of a sound that is held whole: 1 GB, 4.6 hours at 16 kHz.
_LARGEST = 1 << 28
_CHANNELS = 64
# Writers that count their header as sound are common; a file that lost less has lost 16 ms or less.
_TOLERATED = 512
# What a writer that cannot go back to fill in the size leaves there: sizes from here on are none.
_UNKNOWN_SIZE = 0x7FFFFF00
# Most bytes of a WAV file before its samples.
_LARGEST_HEADER = 16 << 20


class BadSound(UserError):
    """A sound that cannot be used.

    Args:
        name: of the file.
        reason: the same for all sounds with the same flaw.
        detail: what is particular to this one.

    Attributes:
        name: as given.
        reason: as given.
        detail: as given.
    """

    def __init__(self, name: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{name}: {reason}" + (f" ({detail})" if detail else ""))
        self.name, self.reason, self.detail = name, reason, detail


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples in memory.

    Attributes:
        samples: mono, within [-1, 1] unless the source is a louder file of floats, float32 [N].
        rate: samples per second, Hz.
    """

    samples: Floats
    rate: int

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.rate


class AudioFile:
    """An open sound file; see `open_audio`.

    Attributes:
        name: for messages.
        rate: samples per second, Hz.
        channels: how many.
        frames: samples of each channel that the header promises.
    """

    def __init__(self, file: Any, name: str) -> None:  # noqa: ANN401 (soundfile has no types)
        self._file = file
        self.name = name
        self.rate, self.channels, self.frames = file.samplerate, file.channels, file.frames
        # What the header of an MP3 says is an estimate if its bit rate varies.
        self._missing = self.frames // 10 if file.format == "MP3" else 0

    def blocks(self, start: float = 0.0, duration: float | None = None) -> Iterator[Floats]:
        """The sound in pieces of at most 1 MB, float32 [n, channels].

        Args:
            start: where to begin, seconds.
            duration: how much to read, seconds; None is all.

        Raises:
            BadSound: damaged, shorter than its header or `start` and `duration` say, or with values
                that are no numbers.
        """
        first = round(start * self.rate)
        wanted = None if duration is None else round(duration * self.rate)
        expected = self.frames - first if wanted is None else wanted
        if first < 0 or expected < 0 or first + expected > self.frames + self.rate // 10:
            raise BadSound(
                self.name,
                "shorter than its entry says",
                f"{self.frames / self.rate:.2f} s, wanted from {start:g} s"
                + ("" if duration is None else f" for {duration:g} s"),
            )
        expected = min(expected, self.frames - first)
        step = max(1, _BLOCK // self.channels)
        read = 0
        with _explained(self.name):
            if first:
                self._file.seek(first)
            while wanted is None or read < expected:
                size = step if wanted is None else min(step, expected - read)
                block: Floats = self._file.read(size, dtype="float32", always_2d=True)
                if not len(block):
                    break
                if not np.isfinite(block).all():
                    raise BadSound(self.name, "values that are no numbers", "NaN or infinity")
                read += len(block)
                yield block
        if read < expected - self._missing:
            raise BadSound(
                self.name,
                "truncated",
                f"{read / self.rate:.2f} of {expected / self.rate:.2f} s can be read",
            )


@contextmanager
def open_audio(source: str | Path | bytes, name: str | None = None) -> Iterator[AudioFile]:
    """Open a sound file: WAV, FLAC, OGG, MP3 and what else libsndfile reads.

    Args:
        source: a path, or the content of a file.
        name: for messages, by default the path.

    Raises:
        UserError: soundfile is not installed.
        BadSound: no such file, no sound, or one that cannot be used.
    """
    soundfile = import_soundfile()
    name = name or ("sound" if isinstance(source, bytes) else str(source))
    with _opened(source, name) as stream:
        size = stream.seek(0, os.SEEK_END)
        if not size:
            raise BadSound(name, "empty file")
        _check_wav(stream, size, name)
        with _explained(name):
            file = soundfile.SoundFile(stream)
        with file:
            _check_rate(file.samplerate, name)
            if file.channels > _CHANNELS:
                raise BadSound(name, "too many channels", f"{file.channels}")
            if not file.frames:
                raise BadSound(name, "no samples")
            yield AudioFile(file, name)


def read_audio(path: str | Path, start: float = 0.0, duration: float | None = None) -> Sound:
    """Read a sound file, or a part of it, as one channel at its own rate.

    Args:
        path: WAV, FLAC, OGG, MP3 and what else libsndfile reads.
        start: where to begin, seconds.
        duration: how much to read, seconds; None is all.

    Raises:
        UserError: soundfile is not installed.
        BadSound: no such file, not a sound, damaged, or longer than 2^28 samples (read it in blocks).
    """
    parts: list[Floats] = []
    length = 0
    with open_audio(path) as file:
        for block in file.blocks(start, duration):
            parts.append(mono(block))
            length += len(block)
            if length > _LARGEST:
                raise BadSound(file.name, "too long to read at once", "give start and duration")
        return Sound(np.concatenate([np.zeros(0, np.float32), *parts]), file.rate)


def mono(samples: Floats) -> Floats:
    """Mean of the channels, [N] of [N, channels]; [N] stays as it is."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    mixed: Floats = samples.mean(axis=1, dtype=np.float32)
    return mixed


def prepare_sound(samples: Floats, rate: int, settings: MelSettings, trim: Trim = "none") -> Floats:
    """A sound as models of these settings read it: mono, at their rate, at the common loudness.

    Args:
        samples: [N] or [N, channels].
        rate: samples per second, Hz.
        settings: of the model.
        trim: silence to take away.

    Returns:
        float32 [N'] within [-0.99, 0.99]; silence stays silent.

    Raises:
        UserError: a rate that no sound has.
    """
    from seqvae.nn.resample import resample

    rate, wave = settings.sample_rate, resample(mono(samples), rate, settings.sample_rate)
    energy = energy_of(wave, rate)
    for spans in pieces_of(energy, len(wave), rate, trim):
        wave = joined(wave, spans, rate)
    return scaled(wave, gain_of(energy))


def write_audio(path: str | Path, samples: Floats, rate: int) -> None:
    """Write mono sound, PCM of 16 bits where the format has it (.wav, .flac); whole or not at all.

    Args:
        path: its ending chooses the format.
        samples: float32 [N]; what is beyond [-1, 1] is clipped.
        rate: samples per second, Hz.

    Raises:
        UserError: values that are no numbers, an ending of no sound format, or a place that cannot
            be written to.
    """
    soundfile = import_soundfile()
    path = Path(path)
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: not written, the sound holds NaN or infinity")
    kind = path.suffix[1:].upper()
    if kind not in soundfile.available_formats():
        raise UserError(f"{path}: no sound format ends in {path.suffix!r}; use .wav or .flac")
    subtype = "PCM_16" if soundfile.check_format(kind, "PCM_16") else None
    # The reader divides by 2^15: what was read is written back bit by bit.
    numbers = np.clip(np.rint(np.asarray(samples) * 32768.0), -32768, 32767).astype(np.int16)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            soundfile.write(stream, numbers, rate, subtype=subtype, format=kind)
        partial.replace(path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot write it ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def import_soundfile() -> ModuleType:
    """The module soundfile.

    Raises:
        UserError: not installed.
    """
    try:
        import soundfile
    except ImportError as error:
        raise UserError(
            "soundfile is not installed; it comes with: pip install 'seqvae[speech]'"
        ) from error
    module: ModuleType = soundfile
    return module


def _opened(source: str | Path | bytes, name: str) -> io.BufferedIOBase:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return Path(source).open("rb")
    except FileNotFoundError as error:
        raise BadSound(name, "no such file") from error
    except OSError as error:
        raise BadSound(name, "cannot be read", error.strerror or "") from error


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Errors of the decoder as `BadSound`."""
    soundfile = import_soundfile()
    try:
        yield
    except soundfile.LibsndfileError as error:
        text = error.error_string.rstrip(".")
        unknown = "not recogni" in text.lower() or "unknown format" in text.lower()
        hint = "; video, m4a and the like: convert with ffmpeg" if unknown else ""
        reason = "not a sound file" if unknown else "damaged"
        raise BadSound(name, reason, text + hint) from error
    except (OSError, RuntimeError) as error:
        raise BadSound(name, "damaged", str(error)) from error


def _check_rate(rate: int, name: str) -> None:
    if not SLOWEST <= rate <= FASTEST:
        raise BadSound(name, "impossible sample rate", f"{rate} Hz")


def _check_wav(stream: io.BufferedIOBase, size: int, name: str) -> None:
    """Refuse a WAV file without a rate, or that ends before its samples do, which libsndfile does not say."""
    stream.seek(0)
    head = stream.read(12)
    position = 12
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        while len(chunk := stream.read(8)) == 8 and position < _LARGEST_HEADER:
            kind, length = struct.unpack("<4sI", chunk)
            position += 8
            if kind == b"fmt ":
                _check_rate(int.from_bytes(stream.read(8)[4:], "little"), name)
            if kind == b"data":
                if length < _UNKNOWN_SIZE and position + length > size + _TOLERATED:
                    share = (size - position) / length
                    raise BadSound(name, "truncated", f"{share:.0%} of the samples are there")
                break
            position += length + length % 2
            stream.seek(position)
    stream.seek(0)
