"""Noise taken off recordings at 0, 5 and 10 dB; bar 4 of issue D.

    python -m benchmarks.speech_denoise RUN --voices CORPUS

RUN was trained on noise. Noises: white; pink (power falling with frequency); and, with --voices, a corpus
that holds whole speakers back, six of these at once. Against the clean recording, sample by sample: SI-SDR, STOI, PESQ; and the words. Result:
benchmarks/results/speech/denoise.json.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from benchmarks.record import RESULTS, ledger, write_result
from seqvae.data.speech.audio import Sound, write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.referees.client import judge
from seqvae.evaluation.referees.job import Item
from seqvae.evaluation.referees.summary import table
from seqvae.evaluation.speech_trial import Stage
from seqvae.training import load_speech

RESULT = "speech/denoise"
LEVELS = (0, 5, 10)
TALKERS = 6
# Bar 4 at 0 dB.
SI_SDR_GAIN, WER_PART = 6.0, 0.5
Floats = np.ndarray[Any, np.dtype[np.float32]]


def run(
    run: tyro.conf.Positional[Path],
    corpus: Path | None = None,
    voices: Path | None = None,
    method: Literal["mask", "vocoder"] = "mask",
    limit: int = 24,
) -> None:
    """Mix noise in, take it off, judge.

    Args:
        run: a run trained on noise.
        corpus: by default the run's own.
        voices: corpus with speakers held back, for a noise of voices.
        method: how noise is taken off; see `seqvae denoise`.
        limit: test recordings.
    """
    model = load_speech(run)
    opened = SpeechCorpus.open(corpus or Path(model.info["experiment"].data))
    folder = run / f"denoise-{method}"
    stage = Stage(model, opened, "test", folder)
    rate = model.settings.sample_rate
    told = [i for i in range(len(stage.store)) if stage.store.text(i)] or range(len(stage.store))
    at = np.linspace(0, len(told) - 1, min(limit, len(told))).round().astype(int)
    talkers = [] if voices is None else _talkers(SpeechCorpus.open(voices))
    items = []
    for index in (told[i] for i in np.unique(at)):
        clean = stage.natural(index)
        known: dict[str, Any] = {"text": stage.store.text(index) or None, "clean": str(clean)}
        items.append(Item(str(clean), "clean", text=known["text"]))
        samples = np.array(stage.store.audio(index))
        for name, noise in noises(len(samples), index, talkers).items():
            for level in LEVELS:
                noisy, denoised = (
                    folder / f"{name}-{level}dB" / f"{index}-{what}.wav"
                    for what in ("noisy", "denoised")
                )
                if not denoised.exists():
                    noisy.parent.mkdir(parents=True, exist_ok=True)
                    mixed = mix(samples, noise, level)
                    write_audio(noisy, mixed, rate)
                    write_audio(
                        denoised, model.denoise(Sound(mixed, rate), method=method).samples, rate
                    )
                items.append(Item(str(noisy), f"{name} {level} dB noisy", **known))
                items.append(Item(str(denoised), f"{name} {level} dB denoised", **known))
    asked = ("words", "quality", "enhancement")
    groups = judge(items, referees=asked, out=folder / "referees.json")["groups"]
    path = write_result(RESULT, {"run": run.name, "method": method, "groups": groups})
    rows = [bar for name in noises(1, 0, talkers) for bar in bars(name, groups)]
    file = path.relative_to(RESULTS.parents[1]).as_posix()
    ledger("D", [{"bar": "4", "result_file": file, **row} for row in rows])
    print(table(groups))


def noises(size: int, seed: int, talkers: list[Floats]) -> dict[str, Floats]:
    """White and pink noise and babble, float32 [size], each of power 1."""
    random = np.random.default_rng(seed)
    white = random.standard_normal(size)
    spectrum = np.fft.rfft(random.standard_normal(size))
    # Power that falls as 1 / frequency; the lowest bins as the 20th, or they would be all there is.
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20))
    found = {"white": white, "pink": np.fft.irfft(spectrum, size)}
    if talkers:
        voices = np.zeros(size)
        for number in random.choice(len(talkers), min(TALKERS, len(talkers)), replace=False):
            voice = np.resize(talkers[number], size + len(talkers[number]))
            voices += voice[(start := random.integers(len(talkers[number]))) : start + size]
        found["babble"] = voices
    return {n: (x / np.sqrt(np.mean(x**2) + 1e-12)).astype(np.float32) for n, x in found.items()}


def mix(samples: Floats, noise: Floats, level: float) -> Floats:
    """The sound with noise `level` dB below it, whole powers compared; turned down together where it would clip."""
    power = np.mean(np.square(samples, dtype=np.float64)) * 10 ** (-level / 10)
    mixed = samples + np.sqrt(power) * noise
    return np.asarray(mixed * min(1.0, 0.99 / np.abs(mixed).max()), np.float32)


def bars(noise: str, groups: dict[str, Any]) -> list[dict[str, Any]]:
    """Bar 4 for a noise: SI-SDR and words at 0 dB, STOI at all levels."""
    before, after = (groups[f"{noise} 0 dB {what}"] for what in ("noisy", "denoised"))
    gain = after["si_sdr"] - before["si_sdr"]
    stoi = {
        level: tuple(groups[f"{noise} {level} dB {what}"]["stoi"] for what in ("noisy", "denoised"))
        for level in LEVELS
    }
    rows = [
        {
            "what": f"denoising, {noise} noise at 0 dB: SI-SDR improvement",
            "target": f">= {SI_SDR_GAIN:g} dB",
            "figure": f"{gain:.1f} dB (to {after['si_sdr']:.1f})",
            "met": gain >= SI_SDR_GAIN,
        },
        {
            "what": f"denoising, {noise} noise: STOI",
            "target": "up at 0, 5 and 10 dB",
            "figure": "; ".join(
                f"{level} dB: {a:.3f} to {b:.3f}" for level, (a, b) in stoi.items()
            ),
            "met": all(b > a for a, b in stoi.values()),
        },
    ]
    if "wer" in before:
        rows.append(
            {
                "what": f"denoising, {noise} noise at 0 dB: word errors",
                "target": "at most half of the noisy input's",
                "figure": f"{after['wer']:.1%} of {before['wer']:.1%}, clean {groups['clean']['wer']:.1%}",
                "met": after["wer"] <= WER_PART * before["wer"],
            }
        )
    return rows


def _talkers(corpus: SpeechCorpus) -> list[Floats]:
    """A recording of each held-out speaker."""
    store, known = corpus.split("test"), len(corpus.train_speakers)
    first = {int(s): i for i, s in reversed(list(enumerate(store.speaker))) if s >= known}
    return [store.audio(index) for index in first.values()]


if __name__ == "__main__":
    tyro.cli(run)
