"""Into voices that no training heard; bar 2 of issue D.

    python -m benchmarks.speech_zero_shot RUN voices.json --vocoder VOCODER

RUN has a style encoder (trained on many voices); voices.json, written by benchmarks/speech_data.py, maps voices to recordings that are
not in its corpus. The first half of a voice's recording tells the model whose voice to take; the second half is what the
conversions are compared with, so that no figure is about the recording itself. Sources are the corpus' test recordings whose
text is known. Result: benchmarks/results/speech/zero_shot.json.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.record import RESULTS, ledger, write_result
from seqvae.data.speech.audio import Sound, prepare_sound, read_audio, write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.referees.client import judge
from seqvae.evaluation.referees.job import Item
from seqvae.evaluation.referees.summary import table
from seqvae.evaluation.speech_trial import Stage
from seqvae.tasks.speech_model import SpeechModel
from seqvae.training import load_speech

RESULT = "speech/zero_shot"
GAP, WER = 0.40, 0.25
# Half of a recording shorter than this says little of a voice.
SHORTEST = 3.0


def run(
    run: tyro.conf.Positional[Path],
    voices: tyro.conf.Positional[Path],
    corpus: Path | None = None,
    vocoder: Path | None = None,
    limit: int = 6,
) -> None:
    """Convert into unknown voices and judge.

    Args:
        run: a trained run.
        voices: JSON of recordings by voice.
        corpus: of the sources; by default the run's own.
        vocoder: of the corpus; by default the run's own, or Griffin-Lim.
        limit: recordings converted into each voice.
    """
    model = load_speech(run)
    if vocoder is not None:
        model.use_vocoder(vocoder)
    opened = SpeechCorpus.open(corpus or Path(model.info["experiment"].data))
    folder = run / "zero-shot"
    stage = Stage(model, opened, "test", folder)
    recordings = json.loads(voices.read_text(encoding="utf-8"))
    halves = {name: _halves(model, files[0], folder, name) for name, files in recordings.items()}
    halves = {name: pair for name, pair in halves.items() if pair is not None}
    sources = _sources(opened, limit)
    items = []
    for name, (heard, judged) in halves.items():
        del judged
        items.append(Item(str(heard), "natural", target=name))
        voice = model.voice(heard)
        for index in sources:
            source = opened.speakers[int(stage.store.speaker[index])]
            known: dict[str, Any] = {
                "text": stage.store.text(index),
                "target": name,
                "source": source,
            }
            items.append(Item(str(stage.natural(index)), "unconverted", **known))
            path = folder / "conversion" / f"{index}-to-{name}.wav"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                sound = Sound(np.array(stage.store.audio(index)), model.settings.sample_rate)
                write_audio(path, model.convert(sound, voice).samples, model.settings.sample_rate)
            items.append(Item(str(path), "conversion", **known))
    enrolled: dict[str, list[Path]] = {name: [judged] for name, (_, judged) in halves.items()}
    speakers = sorted({int(stage.store.speaker[i]) for i in sources})
    found = judge(items, enrolled | stage.voices(speakers), out=folder / "referees.json")
    groups = found["groups"]
    gap = gap_closed(groups)
    payload = {
        "run": run.name,
        "voices": len(halves),
        "recordings_each": len(sources),
        "gap_closed": gap,
        "groups": groups,
        "vocoder": type(model.vocoder).__name__,
    }
    path = write_result(RESULT, payload)
    row, count = groups["conversion"], groups["conversion"]["items"]
    shared = {"bar": "2", "result_file": path.relative_to(RESULTS.parents[1]).as_posix()}
    ledger(
        "D",
        [
            {
                "what": "zero-shot: similarity gap closed",
                "target": f">= {GAP:.0%}",
                "figure": f"{gap:.1%} ({row['similarity']:.3f}; the voice's own {groups['natural']['similarity']:.3f}, "
                f"unconverted {groups['unconverted']['similarity']:.3f}), {count} conversions into {len(halves)} voices",
                "met": gap >= GAP,
                **shared,
            },
            {
                "what": "zero-shot: word error rate",
                "target": f"<= {WER:.0%}",
                "figure": f"{row['wer']:.1%} of {row['words']} words (unconverted {groups['unconverted']['wer']:.1%})",
                "met": row["wer"] <= WER,
                **shared,
            },
        ],
    )
    print(table(groups), f"\ngap closed: {gap:.1%}")


def gap_closed(groups: dict[str, Any]) -> float:
    """Of the way from the sources' likeness to the targets to that of the targets' own recordings."""
    own, none = (groups[name]["similarity"] for name in ("natural", "unconverted"))
    return float((groups["conversion"]["similarity"] - none) / (own - none))


def _halves(model: SpeechModel, file: str, folder: Path, name: str) -> tuple[Path, Path] | None:
    """The halves of a recording as files; None if it is too short."""
    sound = read_audio(Path(file))
    rate = model.settings.sample_rate
    samples = prepare_sound(sound.samples, sound.rate, model.settings)
    if len(samples) < 2 * SHORTEST * rate:
        return None
    middle = len(samples) // 2
    found = []
    for part, half in (("heard", samples[:middle]), ("judged", samples[middle:])):
        path = folder / "halves" / f"{name}-{part}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, half, rate)
        found.append(path)
    return found[0], found[1]


def _sources(corpus: SpeechCorpus, limit: int) -> list[int]:
    """Test recordings with a text, spread over the split, of different sentences."""
    store = corpus.split("test")
    told = [i for i in range(len(store)) if store.text(i)]
    if not told:
        raise SystemExit(f"{corpus.path}: no test recording has a text")
    at = np.linspace(0, len(told) - 1, min(limit, len(told))).round().astype(int)
    return [told[i] for i in np.unique(at)]


if __name__ == "__main__":
    tyro.cli(run)
