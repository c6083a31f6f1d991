"""Altered speech told from speech by a model that heard only whole recordings, beside plain spectral statistics.

    python -m benchmarks.anomaly_audio RUN [--corpus data/arctic]

RUN is trained on the corpus. Recordings of its test split, whose prompts training never heard, are compared with
altered copies of others; see `benchmarks/altered_sound.py`. The rival needs no model: the Mahalanobis distance of a recording's
mean log-mel frame and its deviation to those of the training split. The score is chosen on the validation split, by the mean of all
alterations. Result: benchmarks/results/anomaly/audio.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from benchmarks.altered_sound import alterations
from benchmarks.record import ledger, write_result
from seqvae.data.speech.audio import Sound
from seqvae.data.speech.corpus import SpeechCorpus
from seqvae.evaluation.likelihood import evaluating
from seqvae.tasks.auroc import auroc
from seqvae.tasks.speech_model import SpeechModel
from seqvae.tasks.speech_score import STRETCH
from seqvae.training import load_speech

Values = np.ndarray[Any, np.dtype[np.float64]]
NORMAL = "whole"
RIVAL = "spectral statistics"
BAR = 0.90


class Normality:
    """Mean and covariance of rows [N, D], shrunk so that few rows do (Ledoit and Wolf 2004)."""

    def __init__(self, rows: Values) -> None:
        from sklearn.covariance import LedoitWolf

        self.centre, self.deviation = rows.mean(0), np.maximum(rows.std(0), 1e-6)
        self.estimate = LedoitWolf().fit(self._scaled(rows))

    def distance(self, rows: Values) -> Values:
        """Squared Mahalanobis distances, [N]."""
        return np.asarray(self.estimate.mahalanobis(self._scaled(rows)))

    def _scaled(self, rows: Values) -> Values:
        return np.asarray((rows - self.centre) / self.deviation)


def statistics(model: SpeechModel, sound: Sound) -> tuple[Values, Values]:
    """Mean and deviation over the frames of log-mel, and of the content's posterior means."""
    samples = np.concatenate(list(model.recording(sound).blocks()))
    with evaluating(model.model):
        mel = model.mel(torch.from_numpy(samples)[None])
        content = model.model.content(mel).mean[0]
    return _moments(mel[0].numpy()), _moments(content.numpy())


def _moments(frames: Any) -> Values:  # noqa: ANN401
    return np.concatenate([frames.mean(0), frames.std(0)]).astype(np.float64)


def scores(
    model: SpeechModel, normal: tuple[Normality, Normality], sounds: Sequence[Sound]
) -> dict[str, Values]:
    """Every score of every sound; high is odd."""
    found = [model.score(sound, samples=1) for sound in sounds]
    rows = [np.stack(part) for part in zip(*(statistics(model, s) for s in sounds), strict=True)]
    return {
        "-elbo per frame": np.array([s.nats for s in found]),
        "reconstruction per frame": np.array([s.reconstruction for s in found]),
        "kl per frame": np.array([s.content + s.style for s in found]),
        f"-elbo of the worst {STRETCH:g} s": np.array([s.worst for s in found]),
        "latent distance": normal[1].distance(rows[1]),
        RIVAL: normal[0].distance(rows[0]),
    }


def measured(
    model: SpeechModel,
    corpus: SpeechCorpus,
    split: str,
    normal: tuple[Normality, Normality],
    limit: int,
) -> dict[str, dict[str, Values]]:
    """Scores of a split's whole recordings and of altered copies, by alteration; no recording is in both."""
    store, rate = corpus.split(split), model.settings.sample_rate
    chosen = np.unique(np.linspace(0, len(store) - 1, min(2 * limit, len(store))).astype(int))
    whole, source = chosen[0::2], chosen[1::2]
    talkers = [corpus.split("train").audio(i) for i in range(0, 60, 5)]
    other = {
        int(i): store.audio(int(np.flatnonzero(store.speaker != store.speaker[i])[0]))
        for i in source
    }
    kinds = {NORMAL: [Sound(store.audio(int(i)), rate) for i in whole]}
    for name, alter in alterations(rate, talkers).items():
        kinds[name] = [alter(store.audio(int(i)), other[int(i)], int(i)) for i in source]
    return {name: scores(model, normal, sounds) for name, sounds in kinds.items()}


def table(found: dict[str, dict[str, Values]]) -> dict[str, dict[str, float]]:
    """AUROC by score and alteration, and the mean of all alterations."""
    rows: dict[str, dict[str, float]] = {}
    for score, normal in found[NORMAL].items():
        row = {
            name: auroc(list(normal), list(values[score]))
            for name, values in found.items()
            if name != NORMAL
        }
        rows[score] = {**row, "mean": float(np.mean(list(row.values())))}
    return rows


def main(
    run: tyro.conf.Positional[Path],
    corpus: Path = Path("data/arctic"),
    limit: int = 50,
    known: int = 300,
) -> None:
    """Alter, score, write down.

    Args:
        run: of speech.
        corpus: prepared speech.
        limit: recordings of each kind.
        known: recordings of the training split that say what is normal.
    """
    torch.set_num_threads(1)
    model, opened = load_speech(run), SpeechCorpus.open(corpus)
    store, rate = opened.split("train"), model.settings.sample_rate
    rows = np.unique(np.linspace(0, len(store) - 1, min(known, len(store))).astype(int))
    parts = [statistics(model, Sound(store.audio(int(i)), rate)) for i in rows]
    spectral, latent = (Normality(np.stack(part)) for part in zip(*parts, strict=True))
    normal = spectral, latent
    choose = table(measured(model, opened, "valid", normal, limit))
    report = table(measured(model, opened, "test", normal, limit))
    ours = [score for score in report if score != RIVAL]
    winner = max(ours, key=lambda score: choose[score]["mean"])
    path = write_result(
        "anomaly/audio",
        {
            "run": run.name,
            "corpus": corpus.name,
            "recordings": limit,
            "known": len(rows),
            "chosen": winner,
            "choose": choose,
            "report": report,
        },
    )
    best, rival = report[winner], report[RIVAL]
    ledger(
        "E",
        [
            {
                "bar": "2",
                "what": f"anomaly detection: altered speech of {corpus.name}",
                "target": f"mean AUROC >= {BAR:.2f} and above spectral statistics",
                "figure": f"{winner} {best['mean']:.3f}; {RIVAL} {rival['mean']:.3f}",
                "met": best["mean"] >= BAR and best["mean"] > rival["mean"],
                "result_file": path,
            }
        ],
    )
    for score, row in report.items():
        print(score, ", ".join(f"{name} {value:.3f}" for name, value in row.items()))


if __name__ == "__main__":
    tyro.cli(main)
