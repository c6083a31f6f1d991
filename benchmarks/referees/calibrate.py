"""Do the referees say here what they are known to say? Natural, unconverted, resynthesised and noisy ARCTIC recordings.

    .venv-eval/bin/python -m benchmarks.referees.calibrate ARCTIC

ARCTIC holds bdl/*.flac, slt/*.flac and prompts.tsv (file stem, tab, text). Result: benchmarks/results/referees.json, and
the sounds made for it in `--work`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

from benchmarks.record import write_result
from seqvae.evaluation.referees.bench import Bench
from seqvae.evaluation.referees.job import Item, Job
from seqvae.evaluation.referees.sound import RATE, RMS, Samples, hear
from seqvae.evaluation.referees.summary import table

VOICES = ("bdl", "slt")
# Of the 593 prompts: judged ones spread over all, the voices' own recordings between them.
JUDGED, ENROLLED = slice(0, None, 25), slice(12, None, 50)
# group -> measure -> what is known, from earlier measurements: lowest and highest.
KNOWN: dict[str, dict[str, tuple[float, float]]] = {
    "natural": {"wer": (0.0, 0.045), "similarity": (0.87, 0.93), "ovrl": (3.15, 3.4)},
    "unconverted": {"similarity": (0.53, 0.60), "mcd": (7.2, 7.8), "as_target": (0.0, 0.0)},
    "griffin-lim": {
        "wer": (0.03, 0.10),
        "similarity": (0.80, 0.87),
        "ovrl": (2.0, 2.7),
        "mcd": (2.1, 2.6),
    },
    "other text": {"mcd": (7.9, 11.7)},
    "noise 10 dB": {"wer": (0.05, 0.20)},
    "noise 0 dB": {"wer": (0.45, 0.85)},
    "white noise": {"ovrl": (1.0, 1.3)},
}


def main() -> None:
    """Make the sounds, judge them, write the table beside what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arctic", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/referees"))
    given = parser.parse_args()
    lines = (given.arctic / "prompts.tsv").read_text(encoding="utf-8").splitlines()
    texts = dict(line.split("\t", 1) for line in lines)
    stems = sorted(texts)
    given.work.mkdir(parents=True, exist_ok=True)
    items = _items(given.arctic, given.work, stems[JUDGED], texts)
    voices = {v: [str(given.arctic / v / f"{s}.flac") for s in stems[ENROLLED]] for v in VOICES}
    found = Bench(Job(items, voices)).sit(given.work / "out.json", _tell)
    checks = [
        {"group": group, "measure": name, "known": list(known), "measured": round(row[name], 4)}
        | {"se": round(row.get(f"{name}_se", 0.0), 4), "agrees": _agrees(row, name, known)}
        for group, wanted in KNOWN.items()
        for row in [found["groups"][group]]
        for name, known in wanted.items()
    ]
    write_result(
        "referees",
        {
            "what": f"CMU ARCTIC bdl and slt, {len(stems[JUDGED])} prompts each, voices of "
            f"{len(stems[ENROLLED])} other recordings",
            "checks": checks,
            "groups": found["groups"],
            "voices": found["voices"],
        },
    )
    print(table(found["groups"]))
    for check in checks:
        low, high = check["known"]
        mark = "agrees" if check["agrees"] else "DIFFERS"
        print(
            f"{mark}: {check['group']} {check['measure']} {check['measured']}, known {low} to {high}"
        )


def _agrees(row: dict[str, Any], name: str, known: tuple[float, float]) -> bool:
    """Within the range, or no farther from it than two standard errors."""
    slack = 2 * row.get(f"{name}_se", 0.0)
    return bool(known[0] - slack <= row[name] <= known[1] + slack)


def _items(arctic: Path, work: Path, stems: list[str], texts: dict[str, str]) -> list[Item]:
    def recording(voice: str, stem: str) -> str:
        return str(arctic / voice / f"{stem}.flac")

    items = []
    for number, stem in enumerate(stems):
        other = stems[(number + 1) % len(stems)]
        for target, source in (VOICES, VOICES[::-1]):
            own, text = recording(target, stem), texts[stem]
            known: dict[str, Any] = {"text": text, "target": target, "source": source}
            items.append(Item(own, "natural", **known))
            items.append(Item(recording(source, stem), "unconverted", reference=own, **known))
            items.append(Item(recording(source, other), "other text", reference=own))
            copied = _made(work / f"gl-{target}-{stem}.wav", Path(own), griffin_lim)
            items.append(Item(copied, "griffin-lim", reference=own, **known))
            for level in (10, 5, 0):
                noisy = _made(
                    work / f"noise{level}-{target}-{stem}.wav",
                    Path(own),
                    lambda x, level=level, seed=number: with_noise(x, level, seed),  # type: ignore[misc]
                )
                items.append(Item(noisy, f"noise {level} dB", clean=own, **known))
        noise = _made(
            work / f"white-{stem}.wav",
            Path(recording(VOICES[0], stem)),
            lambda x, seed=number: white(len(x), seed),  # type: ignore[misc]
        )
        items.append(Item(noise, "white noise"))
    return items


def griffin_lim(sound: Samples) -> Samples:
    """There and back through 80 mel bands: least squares for the magnitudes, 32 iterations for the phase."""
    shape = {"n_fft": 1024, "hop_length": 256}
    band = {"sr": RATE, "power": 1.0, "fmin": 0.0, "fmax": RATE / 2}
    mels = librosa.feature.melspectrogram(y=sound, n_mels=80, **shape, **band)
    magnitude = librosa.feature.inverse.mel_to_stft(mels, n_fft=1024, **band)
    wave = librosa.griffinlim(magnitude, n_iter=32, random_state=0, length=len(sound), **shape)
    return np.asarray(wave, np.float32)


def with_noise(sound: Samples, level: float, seed: int) -> Samples:
    """White noise `level` dB below the whole sound's power."""
    noise = white(len(sound), seed)
    power = np.mean(sound**2) / np.mean(noise**2) * 10 ** (-level / 10)
    return np.asarray(sound + np.sqrt(power) * noise, np.float32)


def white(size: int, seed: int) -> Samples:
    """White noise of the referees' loudness."""
    return (RMS * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def _made(path: Path, source: Path, make: Callable[[Samples], Samples]) -> str:
    if not path.exists():
        soundfile.write(path, np.clip(make(hear(source)), -1, 1), RATE, subtype="PCM_16")
    return str(path)


def _tell(done: int, total: int) -> None:
    if done % 50 == 0:
        print(f"judged {done} of {total}", flush=True)


if __name__ == "__main__":
    main()
