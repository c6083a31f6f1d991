"""From a sound file to utterances: mono, trimmed, cut, resampled and of one loudness, in flat memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.speech.audio import BadSound, mono, open_audio
from seqvae.data.speech.clipping import ClipMeter
from seqvae.data.speech.energy import EnergyMeter, Floats, energy_of
from seqvae.data.speech.loudness import gain_of, scaled
from seqvae.data.speech.mel_settings import MelSettings
from seqvae.data.speech.records import Take
from seqvae.data.speech.trim import Piece, Trim, joined, pieces_of

Numbers = np.ndarray[Any, np.dtype[np.int16]]

# A recording of at most so many samples is kept from measuring to cutting; a longer one is decoded twice.
_KEPT = 1 << 22


@dataclass(frozen=True)
class Treatment:
    """What is done to recordings.

    Attributes:
        mel: rate, and the hop of which an utterance holds whole numbers.
        trim: silence to take away.
        longest: seconds; longer recordings are cut at pauses.
        shortest: seconds; shorter ones are left out.
        clipped: share of clipped samples above which a recording is left out.
    """

    mel: MelSettings
    trim: Trim
    longest: float
    shortest: float
    clipped: float


@dataclass(frozen=True, eq=False)
class Utterance:
    """A recording, or a piece of one, as it is stored.

    Attributes:
        name: of the recording, with the number of the piece.
        samples: [frames * hop] at the settings' rate, in units of 2^-15.
        gain: by which it was made louder.
        piece: number of the piece; None if the recording was not cut.
        rate: samples per second of the source, Hz.
        channels: of the source.
    """

    name: str
    samples: Numbers
    gain: float
    piece: int | None
    rate: int
    channels: int


def utterances_of(take: Take, treatment: Treatment) -> Iterator[Utterance | BadSound]:
    """What a recording holds, and why a piece of it was left out.

    Args:
        take: the recording.
        treatment: what to do.

    Raises:
        BadSound: the whole of it cannot be used.
        UserError: soundfile or torchaudio is not installed.
    """
    with open_audio(take.path, take.name) as file:
        rate, channels = file.rate, file.channels
        energy, clip = EnergyMeter(rate), ClipMeter()
        kept: list[Floats] | None = []
        length = 0
        for block in file.blocks(take.start, take.duration):
            clip.update(block)
            samples = mono(block)
            energy.update(samples)
            length += len(samples)
            if kept is not None:
                kept.append(samples)
                kept = None if length > _KEPT else kept
    if length < treatment.shortest * rate:
        raise BadSound(take.name, "too short", f"{length / rate:.3f} s")
    measured = energy.finish()
    if measured.silent:
        raise BadSound(take.name, "silence", f"{length / rate:.1f} s")
    if clip.share > treatment.clipped:
        raise BadSound(take.name, "clipped", f"{clip.share:.1%} of the samples")
    pieces = pieces_of(measured, length, rate, treatment.trim, treatment.longest)
    blocks = kept if kept is not None else _decoded(take)
    for number, samples in enumerate(_gathered(blocks, pieces, rate), 1):
        piece = number if len(pieces) > 1 else None
        name = take.name if piece is None else piece_name(take.name, piece)
        wave = _resampled(samples - samples.mean(), rate, treatment.mel.sample_rate)
        try:
            yield Utterance(name, *_finished(wave, name, treatment), piece, rate, channels)
        except BadSound as error:
            yield error


def piece_name(name: str, piece: int) -> str:
    """What a piece of a recording is called: a/b.wav, 2 -> a/b#2.wav."""
    suffix = Path(name).suffix
    return f"{name.removesuffix(suffix)}#{piece}{suffix}"


def _finished(wave: Floats, name: str, treatment: Treatment) -> tuple[Numbers, float]:
    """Samples as they are stored, and the gain."""
    mel = treatment.mel
    frames = len(wave) // mel.hop
    if not frames or len(wave) < treatment.shortest * mel.sample_rate:
        raise BadSound(name, "too short after trimming", f"{len(wave) / mel.sample_rate:.3f} s")
    energy = energy_of(wave, mel.sample_rate)
    if energy.silent:
        raise BadSound(name, "silence", f"{len(wave) / mel.sample_rate:.1f} s")
    gain = gain_of(energy)
    numbers = np.rint(scaled(wave[: frames * mel.hop], gain) * np.float32(32768.0))
    return numbers.astype(np.int16), gain


def _resampled(samples: Floats, rate: int, wanted: int) -> Floats:
    from seqvae.nn.resample import resample

    return resample(samples, rate, wanted)


def _decoded(take: Take) -> Iterator[Floats]:
    with open_audio(take.path, take.name) as file:
        for block in file.blocks(take.start, take.duration):
            yield mono(block)


def _gathered(blocks: Iterable[Floats], pieces: Sequence[Piece], rate: int) -> Iterator[Floats]:
    """The samples of each piece, of which only one is held.

    Args:
        blocks: the recording, in order.
        pieces: in order, not overlapping.
        rate: samples per second, Hz.
    """
    source = iter(blocks)
    held, offset = np.zeros(0, np.float32), 0
    for piece in pieces:
        first, last = piece[0][0], piece[-1][1]
        parts = [held]
        end = offset + len(held)
        while end < last:
            block = next(source, None)
            if block is None:
                break
            end += len(block)
            # What lies before the piece is let go at once: there may be hours of it.
            if end <= first:
                parts, offset = [], end
            else:
                parts.append(block)
        held = np.concatenate([np.zeros(0, np.float32), *parts])
        yield joined(held, piece, rate, offset)
        cut = min(last - offset, len(held))
        held, offset = held[cut:], offset + cut
