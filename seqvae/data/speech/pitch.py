"""Fundamental frequency by autocorrelation and the cheapest path through its candidates.

P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio
of a sampled sound", IFA Proceedings 17 (1993): the autocorrelation of a windowed frame is divided by that
of the window, its maxima are candidates, and a path through them pays for jumps and for changes between
voiced and unvoiced. Numbers of equations below are that paper's.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seqvae.data.speech.mel_settings import MelSettings

Array = np.ndarray[Any, np.dtype[Any]]

CONTOUR_SCALE = 0.2
"""Natural log units that one unit of a contour stands for: about the spread of a lively voice."""
_UNVOICED = -9.0  # strength of what is no maximum: below every real candidate
_BLOCK = 4096  # frames analysed at once: 34 MB of spectra


@dataclass(frozen=True)
class PitchSettings:
    """Costs of a path, in the paper's units; its defaults but for the range and the costs' time step."""

    low: float = 60.0
    """Lowest frequency, Hz."""
    high: float = 500.0
    """Highest frequency, Hz."""
    window: int = 1024
    """Samples of a frame: at least three periods of `low` want 0.05 s."""
    candidates: int = 8
    """Maxima kept of a frame."""
    silence: float = 0.03
    """Frames whose peak is below this part of the sound's are likely to be unvoiced."""
    voicing: float = 0.45
    """Strength of the unvoiced candidate."""
    octave: float = 0.01
    """What an octave lower costs a candidate."""
    jump: float = 0.35
    """What a jump of an octave costs, per 10 ms."""
    change: float = 0.14
    """What a change between voiced and unvoiced costs, per 10 ms."""


def track_pitch(
    samples: Array, mel: MelSettings | None = None, settings: PitchSettings | None = None
) -> Array:
    """The pitch of every frame.

    Args:
        samples: sound [N], float, at `mel.sample_rate`.
        mel: whose frames; frame t is centred on sample t * hop + hop / 2.
        settings: of the search.

    Returns:
        Hz, float32 [N // hop]; 0 where unvoiced.
    """
    mel, settings = mel or MelSettings(), settings or PitchSettings()
    count = len(samples) // mel.hop
    if not count:
        return np.zeros(0, np.float32)
    samples = np.asarray(samples, np.float64)
    loudest = float(np.abs(samples).max())
    if not loudest:
        return np.zeros(count, np.float32)
    left = (settings.window - mel.hop) // 2
    padded = np.pad(samples, (left, settings.window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.window)[:: mel.hop][:count]
    found = [
        _candidates(frames[start : start + _BLOCK], loudest, mel.sample_rate, settings)
        for start in range(0, count, _BLOCK)
    ]
    strength, octave = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = _cheapest_path(strength, octave, 100.0 * mel.hop / mel.sample_rate, settings)
    chosen = octave[np.arange(count), best]
    return np.where(best > 0, 2.0**chosen, 0.0).astype(np.float32)


def pitch_contour(pitch: Array) -> Array:
    """A pitch apart: its course around its own mean, which is not the voice's, and what it was.

    Args:
        pitch: Hz [T], 0 where unvoiced.

    Returns:
        float32 [T, 3]: natural logarithm of the frequency less its mean over voiced frames, in units
        of CONTOUR_SCALE; 1; the logarithm itself. All three are 0 where unvoiced: no reader of frames can
        know what a pitch would have been there, and what is told in training must be told at use.
    """
    voiced = pitch > 0
    contour = np.zeros((len(pitch), 3), np.float32)
    if voiced.any():
        log = np.log(pitch[voiced].astype(np.float64))
        contour[voiced, 0] = (log - log.mean()) / CONTOUR_SCALE
        contour[voiced, 1] = 1.0
        contour[voiced, 2] = log
    return contour


def _candidates(
    frames: Array, loudest: float, rate: int, settings: PitchSettings
) -> tuple[Array, Array]:
    """Strengths and log2 Hz of each frame's candidates [T, 1 + candidates], the unvoiced one first."""
    frames = frames - frames.mean(1, keepdims=True)
    window = np.hanning(settings.window + 1)[:-1]
    size = 2 * settings.window
    power = np.abs(np.fft.rfft(frames * window, size)) ** 2
    raw = np.fft.irfft(power, size)[:, : settings.window // 2]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2, size)[: settings.window // 2]
    # Eq. 9: what the window alone takes away from longer lags is given back.
    r = raw / np.maximum(raw[:, :1], 1e-12) / (own / own[0])
    shortest = int(rate / settings.high)
    longest = min(int(rate / settings.low) + 1, r.shape[1] - 2)
    before, here, after = (r[:, shortest + k : longest + k] for k in (-1, 0, 1))
    is_peak = (here > before) & (here >= after)
    curvature = np.minimum(before - 2 * here + after, -1e-9)
    shift = np.clip(0.5 * (before - after) / curvature, -1.0, 1.0)
    height = here - 0.25 * (before - after) * shift
    lag = np.arange(shortest, longest) + shift
    # Eq. 24: of peaks of equal height the one of the highest frequency is the fundamental.
    value = np.minimum(height, 1.0) - settings.octave * np.log2(settings.low * lag / rate)
    value = np.where(is_peak, value, _UNVOICED)
    kept = np.argsort(-value, axis=1, kind="stable")[:, : settings.candidates]
    peak = np.abs(frames).max(1) / loudest
    # Eq. 23: silence speaks for the unvoiced candidate.
    quiet = np.maximum(0.0, 2.0 - peak / (settings.silence / (1.0 + settings.voicing)))
    strength = np.concatenate(
        [settings.voicing + quiet[:, None], np.take_along_axis(value, kept, 1)], 1
    )
    octave = np.log2(rate / np.take_along_axis(lag, kept, 1))
    return strength, np.concatenate([np.zeros((len(octave), 1)), octave], 1)


def _cheapest_path(strength: Array, octave: Array, steps: float, settings: PitchSettings) -> Array:
    """The candidate of every frame, [T]; `steps` is the time between frames in units of 10 ms."""
    # Eq. 27: costs are given for 10 ms, longer steps make jumps cheaper.
    jump, change = settings.jump / steps, settings.change / steps
    count, options = strength.shape
    back = np.zeros((count, options), np.int64)
    total = strength[0]
    for t in range(1, count):
        cost = jump * np.abs(octave[t - 1][:, None] - octave[t])
        cost[0, :] = cost[:, 0] = change
        cost[0, 0] = 0.0
        reached = total[:, None] - cost
        back[t] = reached.argmax(0)
        total = reached.max(0) + strength[t]
    path = np.zeros(count, np.int64)
    path[-1] = total.argmax()
    for t in range(count - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path
