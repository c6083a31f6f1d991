"""WAV files in memory, with numpy alone: what a server and a bundle need where soundfile is not installed.

RIFF/WAVE with integers of 8, 16, 24 or 32 bits or floats of 32 or 64 bits, plain or `extensible`
(Microsoft, "Multiple Channel Audio Data and WAVE Files"). `seqvae.data.speech.audio` reads everything
else, and files too large for memory.
"""

import struct
from typing import Any

import numpy as np

from seqvae.data.speech.audio import FASTEST, SLOWEST, BadSound
from seqvae.data.speech.energy import Floats

MAX_CHANNELS = 64
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# What a writer that cannot go back to fill in a size leaves there; the sound goes on to the end.
_UNKNOWN_SIZE = 0x7FFFFF00
# A file that lost less than a header's worth is a file whose writer counted its header as sound.
_TOLERATED = 512
_INTEGERS = {16: "<i2", 32: "<i4"}
_FLOATS = {32: "<f4", 64: "<f8"}


def is_wav(content: bytes | bytearray | memoryview) -> bool:
    """Whether a file begins as a WAV file does."""
    head = bytes(content[:12])
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def decode_wav(content: bytes | bytearray | memoryview, name: str = "sound") -> tuple[Floats, int]:
    """Samples and rate of a WAV file.

    Args:
        content: the whole file.
        name: for messages.

    Returns:
        float32 [N, channels], integers scaled to [-1, 1), and the rate in Hz.

    Raises:
        BadSound: not such a file, truncated, without samples, of a rate that no sound has, or with
            values that are no numbers.
    """
    if not is_wav(content):
        raise BadSound(name, "not a WAV file")
    view = memoryview(content)
    position, layout = 12, None
    while position + 8 <= len(view):
        kind, size = struct.unpack_from("<4sI", view, position)
        position += 8
        if kind == b"fmt ":
            layout = _layout(view[position : position + size], name)
        elif kind == b"data":
            if layout is None:
                raise BadSound(name, "damaged", "its samples come before their format")
            if size < _UNKNOWN_SIZE and position + size > len(view) + _TOLERATED:
                there = (len(view) - position) / size
                raise BadSound(name, "truncated", f"{there:.0%} of the samples are there")
            return _samples(view[position : position + size], *layout[1:], name), layout[0]
        position += size + size % 2
    raise BadSound(name, "damaged", "a WAV file without samples")


def encode_wav(samples: Floats, rate: int, *, exact: bool = False) -> bytes:
    """A WAV file of one channel.

    Args:
        samples: float32 [N]; of 16 bits, what is beyond [-1, 1] is clipped.
        rate: samples per second, Hz.
        exact: floats of 32 bits, which hold every sample as it is, instead of 16-bit integers.
    """
    if exact:
        kind, bits, data = _FLOAT, 32, np.asarray(samples, "<f4").tobytes()
    else:
        # The reader divides by 2^15: what was read is written back bit by bit.
        numbers = np.clip(np.rint(np.asarray(samples) * 32768.0), -32768, 32767)
        kind, bits, data = _PCM, 16, numbers.astype("<i2").tobytes()
    width = bits // 8
    layout = struct.pack("<HHIIHH", kind, 1, rate, width * rate, width, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _layout(chunk: memoryview, name: str) -> tuple[int, int, int, int]:
    """Rate, channels, kind of number and its bits."""
    if len(chunk) < 16:
        raise BadSound(name, "damaged", "its format is cut short")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        (kind,) = struct.unpack_from("<H", chunk, 24)
    if not SLOWEST <= rate <= FASTEST:
        raise BadSound(name, "impossible sample rate", f"{rate} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadSound(name, "impossible number of channels", f"{channels}")
    known = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64)}.get(kind, ())
    if bits not in known:
        raise BadSound(
            name, "a kind of WAV file that is not read here", f"format {kind}, {bits} bits"
        )
    return rate, channels, kind, bits


def _samples(data: memoryview, channels: int, kind: int, bits: int, name: str) -> Floats:
    width = bits // 8
    frames = len(data) // (width * channels)
    if not frames:
        raise BadSound(name, "no samples")
    data = data[: frames * width * channels]
    found: Any
    if kind == _FLOAT:
        with np.errstate(over="ignore"):
            found = np.frombuffer(data, _FLOATS[bits]).astype(np.float32)
        if not np.isfinite(found).all():
            raise BadSound(name, "values that are no numbers", "NaN or infinity")
    elif bits == 24:
        # The high byte last, its sign with it: three bytes become the upper ones of four.
        wide = np.zeros((frames * channels, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        found = wide.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    elif bits == 8:
        found = (np.frombuffer(data, np.uint8).astype(np.float32) - 128.0) / 128.0
    else:
        found = np.frombuffer(data, _INTEGERS[bits]).astype(np.float32) / 2.0 ** (bits - 1)
    samples: Floats = found.reshape(frames, channels)
    return samples
