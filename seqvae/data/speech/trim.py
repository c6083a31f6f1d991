"""Pauses: which to take away, and where to cut a long recording."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from seqvae.data.speech.energy import STEP, Energy, Flags, Floats

Trim = Literal["none", "ends", "gaps"]
"""Silence to take away: none, what is before and after the speech, or also all but 0.3 s of each pause."""
Span = tuple[int, int]
"""First sample and the one after the last."""
Piece = list[Span]
"""What is joined to one recording, in order."""

# In moments of `STEP`. A gap as short as a closed consonant is none, a sound as short as a click no
# speech; the weak consonants around what is loud enough to be found are kept.
_CLOSURE, _CLICK, _MARGIN, _HALF_PAUSE = 10, 3, 10, 15
# Where pauses are joined, one sound is faded into the other, seconds.
_FADE = 0.005


def pieces_of(
    energy: Energy, length: int, rate: int, trim: Trim, longest: float | None = None
) -> list[Piece]:
    """What to keep of a recording.

    Args:
        energy: of the recording.
        length: its samples.
        rate: samples per second, Hz.
        trim: what to take away.
        longest: seconds; a longer recording is cut where the quietest 0.3 s lie between half of this
            and this. None cuts nothing.

    Returns:
        Pieces in order, none of them silent; no piece where there is nothing to hear.
    """
    speech = _without_short_runs(energy.speech())
    if not speech.any():
        return []
    whole = (0, len(speech)) if trim == "none" else _tight(speech, 0, len(speech))
    parts = [whole]
    if longest is not None:
        parts = _cut(energy, whole, max(2, int(longest / STEP) - 1))
    pieces = []
    for start, stop in parts:
        if not speech[start:stop].any():
            continue
        if trim != "none":
            start, stop = _tight(speech, start, stop)
        kept = np.zeros(len(speech) + 2, np.int8)
        kept[start + 1 : stop + 1] = (
            _widened(speech[start:stop], _HALF_PAUSE) if trim == "gaps" else 1
        )
        edges = np.flatnonzero(np.diff(kept)).reshape(-1, 2)
        pieces.append([_samples(a, b, len(speech), length, rate) for a, b in edges.tolist()])
    return pieces


def joined(samples: Floats, spans: Sequence[Span], rate: int, offset: int = 0) -> Floats:
    """The spans of a sound in a row, faded into each other over 5 ms.

    Args:
        samples: mono, [N].
        spans: each within `offset` and `offset` + N, and longer than a fade.
        rate: samples per second, Hz.
        offset: of the first sample.
    """
    parts = [samples[start - offset : stop - offset] for start, stop in spans]
    fade = round(rate * _FADE)
    rising = ((np.arange(fade) + 0.5) / max(1, fade)).astype(np.float32)
    result = [parts[0]]
    for part in parts[1:]:
        last = result[-1]
        mixed = last[-fade:] * rising[::-1] + part[:fade] * rising
        result[-1:] = [last[:-fade], mixed, part[fade:]]
    return np.concatenate(result) if len(result) > 1 else result[0]


def _cut(energy: Energy, whole: Span, longest: int) -> list[Span]:
    """Moments of parts that are no longer than `longest`."""
    start, stop = whole
    width = 2 * _HALF_PAUSE
    around = np.convolve(energy.power, np.ones(width, np.float32), "same")
    parts = []
    while stop - start > longest:
        first = start + longest // 2
        cut = first + int(np.argmin(around[first : start + longest]))
        parts.append((start, cut))
        start = cut
    return [*parts, (start, stop)]


def _tight(speech: Flags, start: int, stop: int) -> Span:
    """The part of [start, stop) around its speech."""
    where = np.flatnonzero(speech[start:stop]) + start
    return max(start, int(where[0]) - _MARGIN), min(stop, int(where[-1]) + 1 + _MARGIN)


def _widened(flags: Flags, moments: int) -> Flags:
    wide: Flags = np.convolve(flags, np.ones(2 * moments + 1), "full")[moments:-moments] > 0.5
    return wide


def _without_short_runs(speech: Flags) -> Flags:
    """Gaps within words filled, then clicks taken away, unless there is nothing else."""
    filled = ~_long_runs(~speech, _CLOSURE)
    loud = _long_runs(filled, _CLICK)
    return loud if loud.any() else speech


def _long_runs(flags: Flags, least: int) -> Flags:
    """Runs of at least so many moments."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8))).reshape(-1, 2)
    result: Flags = np.zeros(len(flags), np.bool_)
    for start, stop in edges[edges[:, 1] - edges[:, 0] >= least].tolist():
        result[start:stop] = True
    return result


def _samples(start: int, stop: int, moments: int, length: int, rate: int) -> Span:
    step = max(1, round(rate * STEP))
    return start * step, length if stop == moments else stop * step
