"""Sounds to compare graphs with PyTorch on, and what PyTorch makes of them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.energy import Floats
from seqvae.evaluation.likelihood import evaluating
from seqvae.export.graphs import Array
from seqvae.export.speech_parts import center_of
from seqvae.posteriors import FrameGaussian
from seqvae.tasks.chunks import Chunking
from seqvae.tasks.f0 import F0, placed
from seqvae.tasks.frame_noise import frame_noise
from seqvae.tasks.render import PEAK, Window, listen, speak
from seqvae.tasks.speech_model import SpeechModel

WHOLE = Chunking(seconds=3600.0)
"""A graph computes a sound at once."""
LENGTHS = (0.3, 1.0, 5.0, 20.0, 60.0)
"""Seconds of the sounds that are compared."""
# Resonances of five vowels, Hz: what a vocal tract of 17 cm does to pulses.
_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)


@dataclass(frozen=True, eq=False)
class SpeechCase:
    """One sound to be converted, with the options that are not at their defaults."""

    name: str
    samples: Floats
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Spoken:
    """What became of a sound.

    Attributes:
        frames: log-mel that was spoken, float32 [T, mels].
        converted: samples, float32 [N].
    """

    frames: Floats
    converted: Floats


def babble(seconds: float, rate: int, seed: int = 0) -> Floats:
    """A sound much like speech: voiced vowels of a moving pitch, hisses, pauses, a room.

    Args:
        seconds: its length.
        rate: samples per second, Hz.
        seed: of all that is random.

    Returns:
        float32 [N].
    """
    draw = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count + rate) / rate
    pitch = 120.0 * 2.0 ** (0.3 * np.sin(2.1 * time) + 0.1 * np.sin(5.3 * time + 1.0))
    turns = np.cumsum(pitch) / rate
    sound = np.zeros(len(time))
    begin = 0
    while begin < count:
        length = int(rate * draw.uniform(0.06, 0.25))
        part = slice(begin, begin + length)
        fade = np.sin(np.pi * np.arange(length) / length) ** 0.5
        kind = draw.integers(8)
        if kind < 5:
            sound[part] += fade * _vowel(turns[part], pitch[part], _VOWELS[kind], rate)
        elif kind < 7:
            sound[part] += 0.1 * fade * np.diff(draw.standard_normal(length + 1))
        begin += length
    sound = 0.2 * sound[:count] + 3e-4 * draw.standard_normal(count)
    return sound.astype(np.float32)


def _vowel(turns: Array, pitch: Array, formants: tuple[int, ...], rate: int) -> Array:
    """Harmonics below 4 kHz, each as loud as the resonances near it."""
    found: Array = np.zeros(len(turns))
    for number in range(1, 40):
        hertz = number * pitch
        level = sum(1.0 / (1.0 + ((hertz - centre) / 90.0) ** 2) for centre in formants)
        found += level * (hertz < 0.25 * rate) * np.sin(2.0 * np.pi * number * turns) / number**0.5
    return found


def compared_cases(model: SpeechModel, voices: int) -> list[SpeechCase]:
    """Every length with default options, and short sounds in every way of converting."""
    rate = model.settings.sample_rate
    cases = [SpeechCase(f"{length:g} s", babble(length, rate, 1)) for length in LENGTHS]
    short = babble(0.7, rate, 2)
    ways: dict[str, dict[str, float]] = {
        "last": {"speaker": voices - 1},
        "noise": {"noise_scale": 1.0, "seed": -5},
        "seed": {"seed": 2**62 + 3},
    }
    if model.hears_voices:
        ways |= {"half": {"strength": 0.5}, "beyond": {"strength": 1.5, "speaker": voices - 1}}
    cases += [SpeechCase(name, short, options) for name, options in ways.items()]
    tone = (0.5 * np.sin(2 * np.pi * 300 * np.arange(rate // 2) / rate)).astype(np.float32)
    cases += [SpeechCase("tone", tone), SpeechCase("silence", np.zeros(rate // 2, np.float32))]
    return [*cases, SpeechCase("quiet", np.float32(1e-3) * short)]


def golden_cases(cases: list[SpeechCase], rate: int) -> list[SpeechCase]:
    """Those that the bundle keeps: the ones of at most a second."""
    return [case for case in cases if len(case.samples) <= rate]


def speak_with_torch(
    model: SpeechModel, case: SpeechCase, voices: list[Tensor], contour: Tensor | None = None
) -> Spoken:
    """What PyTorch makes of a sound: the truth that graphs are held to.

    Args:
        model: converts.
        case: the sound, and how.
        voices: the vector of each voice, [C], as `voice_vector` has it.
        contour: instead of the one that the model reads, [1, T, 3].
    """
    options = case.options
    seed = int(options.get("seed", 0))
    recording = model.recording(Sound(case.samples, model.settings.sample_rate))
    (window,) = listen(model, recording, WHOLE)
    with evaluating(model.model):
        pitch = model.model.contour(window.mel) if contour is None else contour
        vector = voices[int(options.get("speaker", 0))]
        condition = _condition(model, window, vector, options, pitch)
        posterior = model.model.content(window.mel)
        assert isinstance(posterior, FrameGaussian)
        z = posterior.mean
        noise = frame_noise(seed, 0, z.shape[1], z.shape[2])
        scale = options.get("noise_scale", 0.0)
        z = z + scale * torch.exp(0.5 * posterior.log_variance) * noise
        if pitch is not None:
            center = float(condition[-1])
            condition = condition[:-1]
            pitch = placed(pitch, F0(center, 1.0) if center > 0 else None)
        frames = model.model.frames(z, condition[None], window.mel.shape[1], pitch)
    samples = speak(model, frames, 0, seed)[: len(case.samples)]
    converted = np.clip(samples / np.float32(recording.gain), -PEAK, PEAK)
    if recording.silent:
        converted = np.zeros_like(converted)
    return Spoken(frames[0].numpy(), converted)


def _condition(
    model: SpeechModel,
    window: Window,
    wanted: Tensor,
    options: dict[str, float],
    pitch: Tensor | None,
) -> Tensor:
    strength, latent = options.get("strength", 1.0), model.model.latent
    if strength == 1.0 or latent is None:
        return wanted
    own = wanted.clone()
    own[: latent.dimension] = latent.prior.center(model.model.style(window.mel).mean)
    if pitch is not None:
        center = center_of(pitch)[0, 0]
        own[-1] = center if center > 0 and wanted[-1] > 0 else wanted[-1]
    return own + strength * (wanted - own)
