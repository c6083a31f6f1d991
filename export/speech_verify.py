"""Compares the graphs of a speech model with PyTorch, and refuses to ship what sounds different."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seqvae.data.speech.audio import Sound
from seqvae.data.speech.energy import Floats
from seqvae.errors import UserError
from seqvae.export.bundle_manifest import MODEL, SPEECH_OPTIONS
from seqvae.export.graphs import Array, Graph
from seqvae.export.speech_golden import LENGTHS, WHOLE, SpeechCase, Spoken, speak_with_torch
from seqvae.tasks.render import listen
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.speech_score import score_speech
from seqvae.tasks.voice import Voice

FRAMES, AUDIO, SCORE, FLIPS = 100.0, 60.0, 1e-4, 1e-3
"""Limits: least signal-to-noise ratio of the frames and of the sound in decibels, greatest relative error
of a score, greatest share of frames whose pitch or voicing was decided otherwise."""
ITERATED = 40.0
"""Least ratio of the sound in decibels where the vocoder iterates: Griffin-Lim turns frames that agree within
105 dB into sounds that agree within 45, which nobody hears."""
TIMED = 5.0
"""Seconds of the sound that is timed."""
_BEST = 300.0  # decibels of what is equal


@dataclass(frozen=True)
class SpeechReport:
    """How the graphs compare.

    Attributes:
        figures: by name: ratios in decibels, errors, bytes, seconds.
        failures: what is beyond the limits, in words.
        written: what `model.onnx` made of each case.
    """

    figures: dict[str, float]
    failures: list[str] = field(default_factory=list)
    written: list[Floats] = field(default_factory=list)


def decibels(found: Floats, wanted: Floats) -> float:
    """Signal-to-noise ratio of `found` as an image of `wanted`; of silence, of what is there instead."""
    if not np.isfinite(found).all() or found.shape != wanted.shape:
        return -_BEST
    noise = float(np.square(found.astype(np.float64) - wanted).sum())
    signal = float(np.square(wanted.astype(np.float64)).sum())
    if noise == 0.0:
        return _BEST
    return 10.0 * float(np.log10(max(signal, 1e-30) / noise))


def verify_speech(
    model: SpeechModel, folder: Path, cases: Sequence[SpeechCase], voices: Sequence[Tensor]
) -> SpeechReport:
    """Run a variant's graphs on the cases and compare.

    Args:
        model: what was exported.
        folder: the variant's.
        cases: of `compared_cases`.
        voices: the vector of each voice, [C], in the order of the graphs' `speaker`.

    Raises:
        UserError: ONNX Runtime refuses a graph.
    """
    whole, encoder = Graph(folder / f"{MODEL}.onnx"), Graph(folder / "encoder.onnx")
    figures: dict[str, float] = {}
    frames, audio, flips, written = [], [], [], []
    for case in cases:
        found = spoken_by(whole, case)
        truth, moved = _truth(model, encoder, case, list(voices))
        frames.append(decibels(found.frames, truth.frames))
        audio.append(decibels(found.converted, truth.converted))
        flips.append(moved)
        written.append(found.converted)
        if len(frames) <= len(LENGTHS):
            length = LENGTHS[len(frames) - 1]
            figures[f"frames_db_{length:g}"], figures[f"audio_db_{length:g}"] = (
                frames[-1],
                audio[-1],
            )
    figures |= {
        "frames_db": min(frames),
        "audio_db": min(audio),
        "pitch_flips": max(flips),
        "company_db": _company(whole, cases),
        "score_error": _score_error(model, folder, cases[1], voices[0]),
        "bytes": float(sum(path.stat().st_size for path in folder.iterdir())),
        "model_megabytes": (folder / f"{MODEL}.onnx").stat().st_size / 1e6,
        "load_seconds": whole.load_seconds,
        "iterated": float(not model.vocoder.bounded),
    }
    figures |= _speed(model, whole, cases, voices[0])
    return SpeechReport(figures, failures(figures), written)


def feed_of(case: SpeechCase) -> dict[str, Array]:
    """The inputs of `model.onnx` for one sound."""
    feed: dict[str, Array] = {"audio": case.samples[None]}
    for name, value in case.options.items():
        feed[name] = np.array([[value]], np.dtype(SPEECH_OPTIONS[name].dtype))
    return feed


def spoken_by(graph: Graph, case: SpeechCase) -> Spoken:
    """What `model.onnx` makes of one sound."""
    found = graph.run(feed_of(case))
    return Spoken(found["frames"][0], found["converted"][0])


def _truth(
    model: SpeechModel, encoder: Graph, case: SpeechCase, voices: list[Tensor]
) -> tuple[Spoken, float]:
    """What PyTorch makes of a sound, and the share of frames whose pitch it decided otherwise.

    Where the pitch reader is torn between two frequencies, rounding decides; the decoder is then
    compared with PyTorch's on the graph's decision.
    """
    if model.model.pitch is None:
        return speak_with_torch(model, case, voices), 0.0
    read = encoder.run({"audio": case.samples[None]})["contour"]
    recording = model.recording(Sound(case.samples, model.settings.sample_rate))
    (window,) = listen(model, recording, WHOLE)
    with torch.no_grad():
        own = model.model.contour(window.mel)
    assert own is not None
    differ = np.abs(read - own.numpy()).max(-1) > 1e-2
    contour = torch.from_numpy(read) if differ.any() else None
    return speak_with_torch(model, case, voices, contour), float(differ.mean())


def _company(graph: Graph, cases: Sequence[SpeechCase]) -> float:
    """How near a sound in a batch is to the same alone, in decibels of its frames."""
    case = cases[1]
    other = np.roll(case.samples, 1000)
    both = graph.run({"audio": np.stack([other, case.samples])})
    return decibels(both["frames"][1], spoken_by(graph, case).frames)


def _score_error(model: SpeechModel, folder: Path, case: SpeechCase, voice: Tensor) -> float:
    """Relative error of the nats of a sound, its voice given."""
    graph = Graph(folder / "score.onnx")
    found = graph.run({"audio": case.samples[None], "voice": voice.numpy()[None]})
    total = sum(
        float(found[name].sum(dtype=np.float64)) for name in ("reconstruction", "content_kl")
    )
    nats = total / found["reconstruction"].shape[1]
    sound = Sound(case.samples, model.settings.sample_rate)
    own = voice if model.model.pitch is None else voice[:-1]
    wanted = score_speech(model, sound, Voice("it", own), samples=1, chunking=WHOLE)
    return float(abs(nats - wanted.nats) / max(abs(wanted.nats), 1.0))


def _speed(
    model: SpeechModel, whole: Graph, cases: Sequence[SpeechCase], voice: Tensor
) -> dict[str, float]:
    """Milliseconds for a second of sound on one thread of this machine's CPU, in one run with PyTorch's."""
    case = next(case for case in cases if len(case.samples) >= TIMED * model.settings.sample_rate)
    seconds = len(case.samples) / model.settings.sample_rate
    found = whole.milliseconds(feed_of(case))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            speak_with_torch(model, case, [voice])
            times.append(1000.0 * (time.perf_counter() - start))
    finally:
        torch.set_num_threads(threads)
    return {
        "second_ms": found / seconds,
        "torch_second_ms": min(times) / seconds,
        "faster": min(times) / found,
    }


def failures(figures: Mapping[str, float]) -> list[str]:
    """What is beyond the limits, in words; a figure that is not a number is."""
    audio = ITERATED if figures["iterated"] else AUDIO
    bounds = [
        ("frames_db", figures["frames_db"] >= FRAMES, f"at least {FRAMES:g} dB"),
        ("audio_db", figures["audio_db"] >= audio, f"at least {audio:g} dB"),
        ("score_error", figures["score_error"] <= SCORE, f"at most {SCORE:g}"),
        ("pitch_flips", figures["pitch_flips"] <= FLIPS, f"at most {FLIPS:g}"),
    ]
    return [f"{name} {figures[name]:.3g} ({wanted})" for name, holds, wanted in bounds if not holds]


COLUMNS = {
    "frames_db": ("frames", "{:.0f} dB"),
    **{f"audio_db_{length:g}": (f"sound {length:g} s", "{:.0f} dB") for length in LENGTHS},
    "score_error": ("score", "{:.0e}"),
    "model_megabytes": ("model.onnx", "{:.1f} MB"),
    "load_seconds": ("load", "{:.2f} s"),
    "second_ms": ("a second", "{:.1f} ms"),
    "faster": ("PyTorch", "{:.1f} x as long"),
}
"""What the table shows: figure, its title and its form."""


def refuse_failures(variant: str, report: SpeechReport) -> None:
    """Refuse a variant beyond the limits.

    Raises:
        UserError: names what it measured and what is allowed.
    """
    if report.failures:
        from seqvae.export.verify import table

        raise UserError(
            f"not written, because it does not sound as PyTorch does: {variant}: "
            f"{', '.join(report.failures)}; report this with the table\n"
            f"{table({variant: report.figures}, COLUMNS)}"
        )
