"""Into voices that no training heard; bar 2 of issue D.

    python -m benchmarks.speech_zero_shot RUN --vocoder VOCODER

RUN has a style encoder, trained on many voices, and its corpus holds whole speakers back (`seqvae prepare speech
--test-speaker-count 26`). The first half of a held-out speaker's recording tells the model whose voice to take; the second
half is what the conversions are compared with, so that no figure is about the recording itself. Sources are test recordings
of known speakers whose text is known. Result: benchmarks/results/speech/zero_shot.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.record import RESULTS, ledger, write_result
from seqvae.data.speech.audio import Sound, write_audio
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.referees.client import judge
from seqvae.evaluation.referees.job import Item
from seqvae.evaluation.referees.summary import table
from seqvae.evaluation.speech_trial import Stage
from seqvae.tasks.convert import Conversion
from seqvae.training import load_speech

RESULT = "speech/zero_shot"
GAP, WER = 0.40, 0.25
# Half of a recording shorter than this says little of a voice.
SHORTEST = 3.0


def run(
    run: tyro.conf.Positional[Path],
    corpus: Path | None = None,
    vocoder: Path | None = None,
    limit: int = 6,
    strength: float = 1.0,
) -> None:
    """Convert into unknown voices and judge.

    Args:
        run: a trained run.
        corpus: with speakers held back; by default the run's own.
        vocoder: of the corpus; by default the run's own, or Griffin-Lim.
        limit: recordings converted into each voice.
        strength: how far from the source's own voice to the target's; see `seqvae convert`.
    """
    model = load_speech(run)
    if vocoder is not None:
        model.use_vocoder(vocoder)
    opened = SpeechCorpus.open(corpus or Path(model.info["experiment"].data))
    # Conversions that are there are kept: those of another vocoder or strength lie elsewhere.
    spoken = "own" if vocoder is None else vocoder.name
    folder = run / f"zero-shot-{spoken}-{strength:g}"
    stage = Stage(model, opened, "test", folder)
    halves = _halves(opened, folder)
    sources = _sources(opened, limit)
    how = Conversion(strength=strength)
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
                write_audio(
                    path, model.convert(sound, voice, how).samples, model.settings.sample_rate
                )
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
        "strength": strength,
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


def _halves(corpus: SpeechCorpus, folder: Path) -> dict[str, tuple[Path, Path]]:
    """The halves of a recording of each held-out speaker, as files, by the speaker's name."""
    store, rate = corpus.split("test"), corpus.settings.sample_rate
    found: dict[str, tuple[Path, Path]] = {}
    for index, speaker in enumerate(store.speaker.tolist()):
        name = corpus.speakers[speaker]
        samples = store.audio(index)
        if name in found or name in corpus.train_speakers or len(samples) < 2 * SHORTEST * rate:
            continue
        paths = []
        for part, half in zip(("heard", "judged"), np.array_split(samples, 2), strict=True):
            paths.append(folder / "halves" / f"{speaker}-{part}.wav")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            write_audio(paths[-1], half, rate)
        found[name] = (paths[0], paths[1])
    if not found:
        raise SystemExit(
            f"{corpus.path}: no speaker is held out; prepare with --test-speaker-count"
        )
    return found


def _sources(corpus: SpeechCorpus, limit: int) -> list[int]:
    """Test recordings of known speakers with a text, spread over the split."""
    store = corpus.split("test")
    known = len(corpus.train_speakers)
    told = [i for i in range(len(store)) if store.text(i) and store.speaker[i] < known]
    if not told:
        raise SystemExit(f"{corpus.path}: no test recording has a text")
    at = np.linspace(0, len(told) - 1, min(limit, len(told))).round().astype(int)
    return [told[i] for i in np.unique(at)]


if __name__ == "__main__":
    tyro.cli(run)
